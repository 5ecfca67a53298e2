"""Backup and restore: from both databases into both, and the result is downloaded from the restored service."""

import threading
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from sqlalchemy import func, select

from api.app import create_app
from api.settings import ApiSettings
from store import events, jobs, queue, trials
from store.records import JobState, TrialState
from store.session import Database
from store.tables import chores, metadata
from store.tables import events as event_rows
from store.tables import jobs as job_rows
from tests.cli.commands.backup.stored import CHECKPOINT, Service, begin, fill


def rows(database: Database, leave_out: set[str]) -> dict[str, list[tuple[Any, ...]]]:
    """Every row except those of these jobs, with times to the millisecond, the precision of SQLite."""

    def plain(value: Any) -> Any:
        return value.replace(microsecond=value.microsecond // 1000 * 1000) if isinstance(value, datetime) else value

    found = {}
    with database.read() as tx:
        for table in metadata.sorted_tables:
            if table is chores:
                continue
            key = "id" if table is job_rows else "job_id"
            found[table.name] = [
                tuple(plain(value) for value in row.values())
                for row in tx.execute(select(table).order_by(*table.primary_key)).mappings()
                if row.get(key) not in leave_out
            ]
    return found


def test_a_restored_service_has_every_row_and_serves_every_file(
    source: Service, database: Database, target: Service, tmp_path: Path
) -> None:
    token, done, runs, cancelling = fill(database, source.store)
    backup = str(tmp_path / "backup.tar")

    made, back = source.run("backup", backup), target.run("restore", backup)

    assert (made.exit_code, back.exit_code) == (0, 0), (made.exception, back.exception)
    assert "2 jobs that ran then are queued again" in back.stdout
    restored = Database(target.url)
    assert rows(restored, {runs, cancelling}) == rows(database, {runs, cancelling})
    with restored.begin() as tx:
        went_on, stopped = jobs.get(tx, runs), jobs.get(tx, cancelling)
        assert (went_on.state, went_on.attempt, went_on.worker) == (JobState.QUEUED, 0, None)
        assert trials.get(tx, runs, "tune", 0).state is TrialState.INTERRUPTED
        assert stopped.state is JobState.CANCELLED
        assert stopped.finished_at is not None
        claim = queue.claim(tx, "runner-2", 60)
        assert claim is not None
        assert (claim.job.id, claim.job.attempt, claim.job.runners_lost) == (runs, 1, 0)
    restored.dispose()
    app = create_app(ApiSettings(home=target.home, database_url=target.url))
    with TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 50_000)) as http:
        answer = http.get(f"/v1/jobs/{done}/checkpoint", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.content) == (200, CHECKPOINT)
        assert http.get(f"/v1/jobs/{done}/checkpoint").status_code == 401
    assert target.run("scrub").exit_code == 0


def test_a_backup_is_of_one_moment_while_jobs_are_written(
    source: Service, database: Database, sqlite_target: Service, tmp_path: Path
) -> None:
    fill(database, source.store)
    stopping, failures = threading.Event(), []

    def write() -> None:
        try:
            while not stopping.is_set():
                lease = begin(database, {})
                for _ in range(5):
                    with database.begin() as tx:
                        events.append(tx, lease, "note", {})
                        events.append(tx, lease, "note", {})
        except Exception as error:
            failures.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    made = source.run("backup", str(tmp_path / "backup"))
    stopping.set()
    writer.join()

    assert (made.exit_code, failures) == (0, [])
    assert sqlite_target.run("restore", str(tmp_path / "backup")).exit_code == 0
    restored = Database(sqlite_target.url)
    counted = select(func.count()).where(event_rows.c.job_id == job_rows.c.id).scalar_subquery()
    with restored.read() as tx:
        assert tx.execute(select(job_rows.c.id).where(counted != job_rows.c.event_count)).all() == []
    restored.dispose()
