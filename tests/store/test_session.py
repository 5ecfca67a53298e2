"""Transactions, and the errors of an unavailable database."""

import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from uuid import uuid4

import pytest
from sqlalchemy import URL, make_url, text
from sqlalchemy.exc import DBAPIError

from migrations import upgrade
from store import jobs, queue
from store.errors import AccessDenied, DatabaseUnavailable, OutageReason, SchemaMissing, StoreError
from store.session import Database, Transaction


def test_block_that_raises_writes_nothing(database: Database) -> None:
    def submit_and_fail() -> None:
        with database.begin() as tx:
            queue.submit(tx, {})
            raise KeyError("changed my mind")

    with pytest.raises(KeyError):
        submit_and_fail()

    with database.read() as tx:
        assert jobs.list(tx).items == ()


def test_reading_transaction_cannot_write(database: Database) -> None:
    with pytest.raises((DBAPIError, DatabaseUnavailable), match=r"read-?only"), database.read() as tx:
        queue.submit(tx, {})

    # The connection goes back to the pool and can write again.
    with database.begin() as tx:
        queue.submit(tx, {})


def test_a_question_cannot_write(database: Database) -> None:
    with pytest.raises((DBAPIError, DatabaseUnavailable), match=r"read-?only"):
        database.query(lambda tx: queue.submit(tx, {}))

    with database.begin() as tx:
        queue.submit(tx, {})
    assert len(database.query(jobs.list).items) == 1


def test_a_question_does_not_notice_that_its_connection_was_lost_while_it_lay_idle(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    before = database.query(_backend)
    with database.begin() as tx:
        tx.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": before})

    assert database.query(_backend) != before
    database.dispose()


def test_a_question_that_loses_its_connection_twice_says_that_the_database_does_not_work(postgresql_url: str) -> None:
    database, other = Database(postgresql_url), Database(postgresql_url)
    asked: list[int] = []

    def lose(tx: Transaction) -> None:
        asked.append(_backend(tx))
        with other.begin() as killer:
            killer.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": asked[-1]})
        jobs.list(tx)

    with pytest.raises(DatabaseUnavailable, match="Wait until it runs again") as caught:
        database.query(lose)

    assert caught.value.reason is OutageReason.SHUTTING_DOWN
    assert len(set(asked)) == 2
    database.dispose()
    other.dispose()


def _backend(tx: Transaction) -> int:
    """Process id of the server's backend."""
    return int(tx.execute(text("SELECT pg_backend_pid()")).scalar_one())


def test_threads_that_read_before_they_write_lose_no_update(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    with database.begin() as tx:
        tx.execute(text("CREATE TABLE counter (value INTEGER)"))
        tx.execute(text("INSERT INTO counter VALUES (0)"))
    lock = "" if database.engine.dialect.name == "sqlite" else "FOR UPDATE"
    barrier = Barrier(8)

    def count(_: int) -> None:
        barrier.wait()
        for _ in range(5):
            with database.begin() as tx:
                value = tx.execute(text(f"SELECT value FROM counter {lock}")).scalar_one()
                tx.execute(text("UPDATE counter SET value = :value"), {"value": value + 1})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(8)))

    with database.read() as tx:
        assert tx.execute(text("SELECT value FROM counter")).scalar_one() == 40
    database.dispose()


def test_sqlite_reader_sees_the_last_commit_while_a_writer_is_at_work(sqlite_database: Database) -> None:
    with sqlite_database.begin() as tx:
        queue.submit(tx, {})
        with sqlite_database.read() as reader:
            assert jobs.list(reader).items == ()


def test_sqlite_runs_in_wal_mode_with_foreign_keys(sqlite_database: Database) -> None:
    with sqlite_database.read() as tx:
        found = [tx.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("journal_mode", "foreign_keys")]

    assert found == ["wal", 1]


def test_database_that_was_never_migrated_says_how_to_migrate_it(empty_database_url: str) -> None:
    database = Database(empty_database_url)

    with pytest.raises(SchemaMissing, match="safs migrate"), database.read() as tx:
        jobs.list(tx)

    database.dispose()


@pytest.fixture
def weak_url(empty_postgresql_url: str) -> Iterator[URL]:
    """A role that may look into the schema, as anybody may into public, and make nothing in it."""
    role, database = f"weak_{uuid4().hex}", Database(empty_postgresql_url)
    with database.begin() as tx:
        tx.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD 's3cret'"))
        tx.execute(text(f"GRANT USAGE ON SCHEMA {_schema_of(tx)} TO {role}"))
    yield make_url(empty_postgresql_url).set(username=role, password="s3cret")
    with database.begin() as tx:
        tx.execute(text(f"DROP OWNED BY {role}"))
        tx.execute(text(f"DROP ROLE {role}"))
    database.dispose()


def _schema_of(tx: Transaction) -> str:
    return str(tx.execute(text("SELECT current_schema()")).scalar_one())


def test_a_role_that_may_not_migrate_is_told_what_to_grant_it(weak_url: URL) -> None:
    with pytest.raises(AccessDenied, match="permission denied for schema") as denied:
        upgrade(weak_url.render_as_string(hide_password=False))

    message = str(denied.value)
    assert f'role "{weak_url.username}"' in message
    assert f'GRANT CREATE ON SCHEMA public TO "{weak_url.username}"' in message
    assert "SAFS_DATABASE_URL" in message
    assert "s3cret" not in message
    assert "[SQL" not in message


def test_a_role_that_may_not_read_a_table_is_told_so(weak_url: URL, empty_postgresql_url: str) -> None:
    upgrade(empty_postgresql_url)
    weak = Database(weak_url.render_as_string(hide_password=False))

    with pytest.raises(AccessDenied, match="permission denied for table jobs"), weak.read() as tx:
        jobs.list(tx)

    weak.dispose()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://safs:s3cret@127.0.0.1:1/safs",
        "postgresql://safs@127.0.0.1:1/safs?password=s3cret",
    ],
)
def test_server_that_cannot_be_reached_is_named_without_its_password(url: str) -> None:
    database = Database(url)

    with pytest.raises(DatabaseUnavailable, match="SAFS_DATABASE_URL") as caught, database.begin():
        pass

    assert "127.0.0.1" in str(caught.value)
    shown = "".join(traceback.format_exception(caught.value)) + repr(database)
    assert "s3cret" not in shown


def test_folder_of_a_new_sqlite_database_is_made(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'new' / 'folder' / 'safs.db'}")

    with database.begin():
        pass

    assert (tmp_path / "new" / "folder" / "safs.db").is_file()
    database.dispose()


@pytest.mark.parametrize(
    "url", ["", "s3cret", "postgresql://safs:s3cret@host:port/safs", "mysql://safs:s3cret@host/db"]
)
def test_url_of_no_known_database_is_refused_without_showing_its_password(url: str) -> None:
    with pytest.raises(StoreError, match="postgresql") as caught:
        Database(url)

    assert "s3cret" not in "".join(traceback.format_exception(caught.value, limit=0))
