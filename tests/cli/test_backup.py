"""Backup and restore: from both databases into both, and the result is downloaded from the restored service."""

import gzip
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select, text
from typer.testing import Result

from api.app import create_app
from api.settings import ApiSettings
from cli import restoring
from migrations import current, head_revision, upgrade
from store import artifacts, counters, events, keys, queue, trials, uploads
from store.artifacts import ArtifactStore
from store.keys import Scope
from store.records import CurvePoint, JobState, Lease, TrialOutcome, TrialState
from store.session import Database
from store.tables import chores, metadata
from store.tables import events as event_rows
from store.tables import jobs as job_rows
from store.tables import trials as trial_rows

Safs = Callable[..., Result]
CHECKPOINT = b"\x08\x00\x00\x00\x00\x00\x00\x00weights!" * 1000


class Service:
    """A home with a database, as the commands see it by their environment."""

    def __init__(self, safs: Safs, home: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.url = home, url
        self.store = ArtifactStore(home / "artifacts")
        self._safs, self._monkeypatch = safs, monkeypatch

    def run(self, *arguments: str) -> Result:
        """``safs`` with these arguments, here."""
        with self._monkeypatch.context() as patched:
            patched.setenv("SAFS_HOME", str(self.home))
            patched.setenv("SAFS_DATABASE_URL", self.url)
            return self._safs(*arguments)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def source(safs: Safs, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    return Service(safs, tmp_path / "source", database_url, monkeypatch)


@pytest.fixture
def database(source: Service) -> Iterator[Database]:
    database = Database(source.url)
    yield database
    database.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest, safs: Safs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    """An empty home, and a database that has not even tables."""
    home = tmp_path / "target"
    url = f"sqlite:///{home}/safs.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("empty_postgresql_url")
    return Service(safs, home, url, monkeypatch)


@pytest.fixture
def sqlite_target(safs: Safs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    home = tmp_path / "target"
    return Service(safs, home, f"sqlite:///{home}/safs.db", monkeypatch)


def begin(database: Database, spec: dict[str, Any], owner: str | None = None) -> Lease:
    with database.begin() as tx:
        queue.submit(tx, spec, name="Größe ✓", owner=owner)
        claim = queue.claim(tx, "runner-1", lease_s=600)
    assert claim is not None
    return claim.lease


def fill(database: Database, store: ArtifactStore) -> tuple[str, str, str, str]:
    """Some of everything; (a key, a job that succeeded, one that runs, one that is being cancelled)."""
    with database.begin() as tx:
        _, token = keys.create(tx, "vision", [Scope.READ])
        counters.add(tx, {"jobs_failed": 3.0})
        weights = uploads.create(tx, store.put(io.BytesIO(b"dense")), "dense.safetensors", 4, "vision")
    done = begin(database, {"model": {"weights": weights.id}, "lr": 1e-7, "text": "a\nb"}, "vision")
    curve = [CurvePoint(epoch, 0.1 + 0.2, None, 1 / 3, 1e-3, 0.1) for epoch in (1, 2)]
    for number in range(3):
        with database.begin() as tx:
            trials.record_done(
                tx, done, "tune", number, config={"lr": 0.1}, epochs=2, seed=2**40,
                outcome=TrialOutcome(loss=0.25, accuracy=0.75, seconds=2.0), curve=curve,
            )  # fmt: skip
            events.append(tx, done, "note", {"message": f"trial {number}"})
    with database.begin() as tx:
        stored = store.put(io.BytesIO(CHECKPOINT))
        artifacts.attach(tx, done, "checkpoint", stored, "application/octet-stream")
        queue.finish(tx, done, JobState.SUCCEEDED, result={"test_accuracy": 0.9})
    runs, cancelling = begin(database, {"sparsity": 0.99}), begin(database, {})
    with database.begin() as tx:
        trials.record_started(tx, runs, "tune", 0, config={}, epochs=1, seed=1)
        queue.request_cancel(tx, cancelling.job_id)
    return token, done.job_id, runs.job_id, cancelling.job_id


def rows(database: Database, leave_out: set[str]) -> dict[str, list[tuple[Any, ...]]]:
    """Every row but those about these jobs, with times to the millisecond, which is what SQLite keeps."""

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
        went_on, stopped = queue.get(tx, runs), queue.get(tx, cancelling)
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


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
class TestOnSqlite:
    """What does not depend on the database."""

    @pytest.fixture
    def backup(self, source: Service, database: Database, tmp_path: Path) -> Path:
        fill(database, source.store)
        folder = tmp_path / "backup"
        assert source.run("backup", str(folder)).exit_code == 0
        return folder

    def test_a_folder_and_a_tar_file_hold_the_same(self, source: Service, backup: Path, tmp_path: Path) -> None:
        source.run("backup", str(tmp_path / "same.tar"))

        with tarfile.open(tmp_path / "same.tar") as tar:
            names = {entry.name for entry in tar}
        assert names == {str(path.relative_to(backup)) for path in backup.rglob("*") if path.is_file()}
        assert {"manifest.json", "tables/jobs.jsonl"} < names

    def test_nothing_is_written_over(self, source: Service, backup: Path) -> None:
        assert "is already there" in str(source.run("backup", str(backup)).exception)

    def test_a_file_that_is_damaged_is_left_out_and_said(
        self, source: Service, sqlite_target: Service, tmp_path: Path, database: Database
    ) -> None:
        fill(database, source.store)
        path = source.store.path(hashlib.sha256(CHECKPOINT).hexdigest())
        path.chmod(0o644)
        path.write_bytes(b"damaged")

        made = source.run("backup", str(tmp_path / "backup"))

        assert made.exit_code == 1
        assert "1 files are damaged or missing" in made.stderr
        assert sqlite_target.run("restore", str(tmp_path / "backup")).exit_code == 0
        assert "missing" in sqlite_target.run("scrub").stdout

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("manifest.json", "manifest.json is damaged"),
            ("tables/trials.jsonl", "tables/trials.jsonl is damaged"),
            ("tables/uploads.jsonl", "tables/uploads.jsonl is damaged"),
            (f"artifacts/{hashlib.sha256(b'dense').hexdigest()[:2]}/{hashlib.sha256(b'dense').hexdigest()}", "damaged"),
        ],
    )
    @pytest.mark.parametrize("harm", ["flipped", "gone"])
    def test_a_backup_that_is_not_whole_leaves_nothing(
        self, backup: Path, sqlite_target: Service, name: str, reason: str, harm: str
    ) -> None:
        content = (backup / name).read_bytes()
        (backup / name).unlink()
        if harm == "flipped":
            (backup / name).write_bytes(bytes([content[0] ^ 1]) + content[1:])

        done = sqlite_target.run("restore", str(backup))

        assert done.exit_code == 1
        assert (reason if harm == "flipped" else f"has no {name}") in str(done.exception)
        assert current(sqlite_target.url) is None
        assert not sqlite_target.store.folder.exists()

    def test_a_tar_file_that_was_cut_off_or_is_none_is_refused(
        self, source: Service, backup: Path, sqlite_target: Service, tmp_path: Path
    ) -> None:
        source.run("backup", str(tmp_path / "whole.tar"))
        whole = (tmp_path / "whole.tar").read_bytes()
        (tmp_path / "cut.tar").write_bytes(whole[: len(whole) // 2])
        (tmp_path / "none.tar").write_bytes(gzip.compress(whole))

        assert sqlite_target.run("restore", str(tmp_path / "cut.tar")).exit_code == 1
        assert "neither a folder nor a tar" in str(sqlite_target.run("restore", str(tmp_path / "none.tar")).exception)
        assert "neither a folder nor a tar" in str(sqlite_target.run("restore", str(tmp_path / "nowhere")).exception)
        assert current(sqlite_target.url) is None

    def test_a_restore_that_breaks_off_leaves_no_row_and_can_be_done_again(
        self, backup: Path, sqlite_target: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def break_off(tx: Any, *arguments: Any) -> None:
            load(tx, *arguments)
            raise OSError("the power went")

        load = restoring.load
        with monkeypatch.context() as patched:
            patched.setattr(restoring, "load", break_off)
            assert "the power went" in str(sqlite_target.run("restore", str(backup)).exception)

        broken = Database(sqlite_target.url)
        with broken.read() as tx:
            assert queue.list(tx).items == ()
        broken.dispose()
        assert sqlite_target.run("restore", str(backup)).exit_code == 0

    def test_a_target_that_holds_something_is_replaced_only_if_asked(
        self, backup: Path, sqlite_target: Service
    ) -> None:
        upgrade(sqlite_target.url)
        other = Database(sqlite_target.url)
        with other.begin() as tx:
            mine = queue.submit(tx, {}).id

        refused = sqlite_target.run("restore", str(backup))
        assert "is not empty" in str(refused.exception)
        assert "--replace" in str(refused.exception)
        with other.begin() as tx:
            assert queue.claim(tx, "runner-9", lease_s=60) is not None
        busy = sqlite_target.run("restore", str(backup), "--replace")
        assert "runner-9 runs a job" in str(busy.exception)
        with other.begin() as tx:
            assert queue.get(tx, mine).state is JobState.RUNNING
            tx.execute(text("UPDATE jobs SET lease_expires_at = '2001-01-01T00:00:00.000Z'"))

        assert sqlite_target.run("restore", str(backup), "--replace").exit_code == 0
        with other.read() as tx:
            found = [job.id for job in queue.list(tx).items]
        other.dispose()
        assert len(found) == 3
        assert mine not in found

    def test_a_backup_of_an_older_schema_is_restored_and_upgraded_and_one_of_a_newer_refused(
        self, backup: Path, sqlite_target: Service
    ) -> None:
        older = rewritten(backup, "0002")

        assert sqlite_target.run("restore", str(older)).exit_code == 0
        assert current(sqlite_target.url) == head_revision()
        restored = Database(sqlite_target.url)
        with restored.read() as tx:
            assert len(queue.list(tx).items) == 3
            assert tx.execute(select(func.count()).select_from(trial_rows)).scalar_one() == 4
        restored.dispose()
        assert "--replace needs" in str(sqlite_target.run("restore", str(older), "--replace").exception)
        assert "of a newer version" in str(sqlite_target.run("restore", str(rewritten(backup, "9999"))).exception)


def rewritten(backup: Path, revision: str) -> Path:
    """The backup as the program at ``revision`` would have made it."""
    manifest = json.loads((backup / "manifest.json").read_text())
    manifest["revision"] = revision
    if revision == "0002":
        schema = Database(f"sqlite:///{backup.parent}/old.db")
        upgrade(schema.url.render_as_string(), "0002")
        with schema.read() as tx:
            names = {
                table["name"]: {row.name for row in tx.execute(text(f"PRAGMA table_info({table['name']})"))}
                for table in manifest["tables"]
            }
        schema.dispose()
        manifest["tables"] = [without(backup, table, names[table["name"]]) for table in manifest["tables"]]
        manifest["tables"] = [table for table in manifest["tables"] if table["columns"]]
    content = json.dumps(manifest).encode()
    (backup / "manifest.json").write_bytes(content)
    (backup / "manifest.sha256").write_text(hashlib.sha256(content).hexdigest())
    return backup


def without(backup: Path, table: dict[str, Any], columns: set[str]) -> dict[str, Any]:
    file = backup / "tables" / f"{table['name']}.jsonl"
    kept = [number for number, name in enumerate(table["columns"]) if name in columns]
    lines = [json.dumps([json.loads(line)[number] for number in kept]) + "\n" for line in file.read_text().splitlines()]
    file.write_text("".join(lines))
    return table | {
        "columns": {name: kind for name, kind in table["columns"].items() if name in columns},
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
