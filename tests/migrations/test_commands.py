"""Migrations: up, down, from several processes at once, and never apart from the tables."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, make_url, text

from migrations import current, downgrade, head_revision, require_head, upgrade
from store import jobs, trials
from store.errors import DatabaseUnavailable, SchemaMissing, SchemaNewer
from store.records import TrialOutcome
from store.session import Database, Transaction
from store.tables import metadata


@pytest.fixture
def database(empty_database_url: str) -> Iterator[Database]:
    """A database of this test alone, whose tables it may change."""
    upgrade(empty_database_url)
    database = Database(empty_database_url)
    yield database
    database.dispose()


def tables(url: str) -> set[str]:
    database = Database(url)
    with database.read() as tx:
        names = set(inspect(tx).get_table_names())
    database.dispose()
    return names


def schema(tx: Transaction) -> dict[str, Any]:
    """Everything that the database knows about its tables, except Alembic's own."""
    found = inspect(tx)
    return {
        table: {
            "columns": [column | {"type": str(column["type"])} for column in found.get_columns(table)],
            "primary key": found.get_pk_constraint(table),
            "foreign keys": sorted(found.get_foreign_keys(table), key=str),
            "checks": sorted(found.get_check_constraints(table), key=str),
            "indexes": sorted(map(str, found.get_indexes(table))),
        }
        for table in found.get_table_names()
        if table != "alembic_version"
    }


def test_upgrade_makes_every_table_and_reaches_the_head(empty_database_url: str) -> None:
    before = current(empty_database_url)

    upgrade(empty_database_url)

    assert before is None
    assert current(empty_database_url) == head_revision()
    assert tables(empty_database_url) == {*metadata.tables, "alembic_version"}


def test_upgrade_of_what_is_at_head_changes_nothing(database: Database, empty_database_url: str) -> None:
    upgrade(empty_database_url)

    require_head(database.engine)


def test_downgrade_to_base_drops_every_table_and_upgrade_brings_them_back(empty_database_url: str) -> None:
    upgrade(empty_database_url)
    downgrade(empty_database_url, "base")
    dropped = tables(empty_database_url)
    upgrade(empty_database_url)

    assert dropped == {"alembic_version"}
    assert tables(empty_database_url) == {*metadata.tables, "alembic_version"}


def test_jobs_and_trials_of_the_first_tables_survive_the_way_up_and_down(empty_database_url: str) -> None:
    upgrade(empty_database_url, "0001")
    database = Database(empty_database_url)
    at = {"at": "2026-01-01T00:00:00.000Z"}
    with database.begin() as tx:
        columns = "id, spec, state, attempt, max_attempts, event_count, created_at"
        tx.execute(text(f"INSERT INTO jobs ({columns}) VALUES ('job_1', '{{}}', 'queued', 0, 3, 0, :at)"), at)
        columns = "job_id, stage, number, config, epochs, seed, state, loss, seconds, started_at"
        tx.execute(
            text(f"INSERT INTO trials ({columns}) VALUES ('job_1', 'tune', 0, '{{}}', 2, 7, 'done', 0.25, 1.5, :at)"),
            at,
        )

    upgrade(empty_database_url)
    with database.read() as tx:
        job, (finished,) = jobs.get(tx, "job_1"), trials.finished(tx, "job_1", "tune")
    downgrade(empty_database_url, "0001")
    with database.read() as tx:
        losses = tx.execute(text("SELECT loss FROM trials")).scalars().all()
    database.dispose()

    assert (job.reused, finished.trial.recalled, finished.trial.horizon) == (None, None, None)
    assert finished.trial.outcome == TrialOutcome(loss=0.25, seconds=1.5)
    assert losses == [0.25]


def test_migrations_make_what_the_tables_say(database: Database) -> None:
    with database.begin() as tx:
        difference = compare_metadata(MigrationContext.configure(tx, opts={"compare_type": True}), metadata)

    assert difference == []


def test_migrations_make_the_same_constraints_as_the_tables(database: Database) -> None:
    """Checked separately, since Alembic's comparison ignores check constraints."""
    with database.begin() as tx:
        migrated = schema(tx)
        metadata.drop_all(tx)
        metadata.create_all(tx)
        assert migrated == schema(tx)


def test_database_without_schema_or_with_an_older_one_is_refused_with_the_way_out(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    with pytest.raises(SchemaMissing, match=r"no schema yet.*safs migrate"):
        require_head(database.engine)

    upgrade(empty_database_url, "0002")

    with pytest.raises(SchemaMissing, match=r"older revision 0002.*safs migrate"):
        require_head(database.engine)
    database.dispose()


def test_a_refused_schema_is_that_of_a_database_with_a_name_and_no_password(empty_database_url: str) -> None:
    """The error names the database, so that a forgotten SAFS_HOME is noticed before another one is migrated."""
    of_sqlite = empty_database_url.startswith("sqlite")
    url = empty_database_url if of_sqlite else with_password(empty_database_url, "hunter2")
    database = Database(url)
    with pytest.raises(SchemaMissing) as missing:
        require_head(database.engine)
    upgrade(url)
    with database.begin() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    newer = []
    for refused in (lambda: require_head(database.engine), lambda: upgrade(url)):
        with pytest.raises(SchemaNewer) as refusal:
            refused()
        newer.append(str(refusal.value))
    database.dispose()

    for told in (str(missing.value), *newer):
        assert (f"the database {url} " if of_sqlite else ":***@") in told
        assert "or set SAFS_HOME / SAFS_DATABASE_URL to the service's database" in told
        assert "hunter2" not in told


def with_password(url: str, password: str) -> str:
    """The URL with a password; the server requires none and accepts any."""
    return make_url(url).set(password=password).render_as_string(hide_password=False)


def test_schema_of_a_newer_version_is_refused_and_left_alone(database: Database, empty_database_url: str) -> None:
    with database.begin() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    for refused in (
        lambda: require_head(database.engine),
        lambda: upgrade(empty_database_url),
        lambda: downgrade(empty_database_url, "base"),
    ):
        with pytest.raises(SchemaNewer, match=r"revision 9999.*newer version") as refusal:
            refused()
        assert refusal.value.code == "schema_newer"
    assert current(empty_database_url) == "9999"


@pytest.mark.parametrize("command", ["migrate", "api", "worker"])
def test_each_process_says_at_its_start_that_the_schema_is_newer(command: str, empty_sqlite_url: str) -> None:
    upgrade(empty_sqlite_url)
    database = Database(empty_sqlite_url)
    with database.begin() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.dispose()

    done = subprocess.run(
        [sys.executable, "-m", "cli", command],
        env={**os.environ, "SAFS_DATABASE_URL": empty_sqlite_url, "SAFS_HOST": "127.0.0.1", "SAFS_PORT": "0"},
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 1
    assert "revision 9999, which this version does not know" in done.stderr


def test_servers_that_migrate_at_once_all_succeed_wherever_they_are_started(
    empty_database_url: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-W", "error", "-m", "cli", "migrate"]
    environment = {**os.environ, "SAFS_DATABASE_URL": empty_database_url}

    processes = [
        subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=PIPE, stderr=PIPE, text=True) for _ in range(2)
    ]
    ends = [(*process.communicate(), process.returncode) for process in processes]

    assert ends == [(f"the database is at revision {head_revision()}\n", "", 0)] * 2
    assert tables(empty_database_url) == {*metadata.tables, "alembic_version"}


def test_failed_upgrade_leaves_the_database_as_it_was(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    with database.begin() as tx:
        tx.execute(text("CREATE TABLE uploads (in_the_way INTEGER)"))
    database.dispose()

    with pytest.raises(Exception, match="uploads"):
        upgrade(empty_database_url)

    assert tables(empty_database_url) == {"uploads"}


def test_database_that_cannot_be_reached_is_said_to_be_so() -> None:
    database = Database("postgresql://safs@127.0.0.1:1/safs")

    with pytest.raises(DatabaseUnavailable):
        require_head(database.engine)
