"""Errors of real databases, and the errors that the store raises for them."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from store import jobs, queue
from store.errors import DatabaseUnavailable, InvalidValue, OutageReason
from store.session import Database, Transaction


def with_options(url: str, options: str) -> Database:
    """The same schema, with settings of its own for each connection."""
    parsed = make_url(url)
    return Database(
        parsed.update_query_dict({"options": f"{parsed.query['options']} {options}"}).render_as_string(False)
    )


@pytest.mark.parametrize(
    ("sqlstate", "reason"),
    [
        ("08006", OutageReason.UNREACHABLE),
        ("25006", OutageReason.READ_ONLY),
        ("25P03", OutageReason.TIMEOUT),
        ("26000", OutageReason.SESSION_LOST),
        ("40001", OutageReason.CONFLICT),
        ("40P01", OutageReason.CONFLICT),
        ("42P05", OutageReason.SESSION_LOST),
        ("53100", OutageReason.DISK_FULL),
        ("53200", OutageReason.OVERLOADED),
        ("53300", OutageReason.TOO_MANY_CONNECTIONS),
        ("55P03", OutageReason.TIMEOUT),
        ("57014", OutageReason.TIMEOUT),
        ("57P01", OutageReason.SHUTTING_DOWN),
        ("57P02", OutageReason.SHUTTING_DOWN),
        ("57P03", OutageReason.SHUTTING_DOWN),
        ("57P05", OutageReason.TIMEOUT),
        ("58030", OutageReason.BROKEN),
        ("72000", OutageReason.CONFLICT),
        ("XX000", OutageReason.BROKEN),
        ("XX001", OutageReason.BROKEN),
        ("XX999", OutageReason.BROKEN),  # one that the driver has no class for
    ],
)
def test_outages_are_recognised_by_their_code_whatever_class_the_driver_gives_them(
    postgresql_url: str, sqlstate: str, reason: OutageReason
) -> None:
    database = Database(postgresql_url)

    with pytest.raises(DatabaseUnavailable, match="something went wrong") as caught, database.begin() as tx:
        tx.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'something went wrong' USING ERRCODE = '{sqlstate}'; END $$"))

    assert caught.value.reason is reason
    with database.begin() as tx:
        queue.submit(tx, {})
    database.dispose()


@pytest.mark.parametrize("sqlstate", ["23505", "42601", "0A000", "P0001"])
def test_bugs_are_not_taken_for_outages(postgresql_url: str, sqlstate: str) -> None:
    database = Database(postgresql_url)

    with pytest.raises(DBAPIError), database.begin() as tx:
        tx.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'something went wrong' USING ERRCODE = '{sqlstate}'; END $$"))

    database.dispose()


def test_a_closed_connection_is_an_outage(postgresql_url: str) -> None:
    database, other = Database(postgresql_url), Database(postgresql_url)

    def work() -> None:
        with database.begin() as tx:
            pid = tx.execute(text("SELECT pg_backend_pid()")).scalar_one()
            with other.begin() as killer:
                killer.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            jobs.list(tx)

    with pytest.raises(DatabaseUnavailable) as caught:
        work()

    assert caught.value.reason is OutageReason.SHUTTING_DOWN
    assert "terminating connection due to administrator command" in str(caught.value)
    with database.begin() as tx:
        queue.submit(tx, {})
    database.dispose()
    other.dispose()


def test_a_transaction_that_another_one_overtakes_is_an_outage(postgresql_url: str) -> None:
    database, other = (
        with_options(postgresql_url, "-cdefault_transaction_isolation=serializable"),
        Database(postgresql_url),
    )
    with other.begin() as tx:
        job = queue.submit(tx, {})

    def work() -> None:
        with database.begin() as tx:
            jobs.get(tx, job.id)
            with other.begin() as overtaking:
                queue.request_cancel(overtaking, job.id)
            queue.request_cancel(tx, job.id)

    with pytest.raises(DatabaseUnavailable, match="could not serialize access") as caught:
        work()

    assert caught.value.reason is OutageReason.CONFLICT
    database.dispose()
    other.dispose()


@pytest.mark.parametrize(
    ("options", "statement", "reason"),
    [
        ("-cstatement_timeout=20", "SELECT pg_sleep(60)", OutageReason.TIMEOUT),
        (
            "-ctemp_file_limit=64 -cwork_mem=64",
            "SELECT count(*) FROM (SELECT i FROM generate_series(1, 200000) i ORDER BY random()) numbers",
            OutageReason.OVERLOADED,
        ),
    ],
)
def test_limits_of_the_server_are_outages(
    postgresql_url: str, options: str, statement: str, reason: OutageReason
) -> None:
    database = with_options(postgresql_url, options)

    with pytest.raises(DatabaseUnavailable) as caught, database.begin() as tx:
        tx.execute(text(statement))

    assert caught.value.reason is reason
    database.dispose()


@pytest.fixture
def role_of_one_connection(postgresql_url: str) -> Iterator[str]:
    """A URL whose role may open one connection at a time."""
    role, database = f"one_{uuid4().hex}", Database(postgresql_url)
    with database.begin() as tx:
        tx.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD 's3cret' CONNECTION LIMIT 1"))
    yield make_url(postgresql_url).set(username=role, password="s3cret").render_as_string(hide_password=False)
    with database.begin() as tx:
        tx.execute(text(f"DROP ROLE {role}"))
    database.dispose()


def test_a_server_that_takes_no_more_connections_is_an_outage(role_of_one_connection: str) -> None:
    database, other = Database(role_of_one_connection), Database(role_of_one_connection)

    with other.read(), pytest.raises(DatabaseUnavailable, match="too many connections") as caught, database.begin():
        pass

    assert caught.value.reason is OutageReason.TOO_MANY_CONNECTIONS
    assert "Raise max_connections" in str(caught.value)
    database.dispose()
    other.dispose()


def test_a_value_that_no_index_can_hold_is_refused_as_such(postgresql_url: str) -> None:
    database = Database(postgresql_url)

    with pytest.raises(InvalidValue, match="cannot hold this value: index row"), database.begin() as tx:
        queue.submit(tx, {}, owner="".join(uuid4().hex for _ in range(1000)))

    database.dispose()


def test_a_full_sqlite_database_is_an_outage(sqlite_database: Database) -> None:
    def work() -> None:
        with sqlite_database.begin() as tx:
            tx.exec_driver_sql("PRAGMA max_page_count = 1")
            _fill(tx)

    with pytest.raises(DatabaseUnavailable, match="disk is full") as caught:
        work()

    assert caught.value.reason is OutageReason.DISK_FULL


def test_a_damaged_sqlite_file_is_an_outage(tmp_path: Path) -> None:
    (tmp_path / "safs.db").write_bytes(b"no database at all" * 1000)
    database = Database(f"sqlite:///{tmp_path / 'safs.db'}")

    with pytest.raises(DatabaseUnavailable, match="not a database") as caught, database.begin():
        pass

    assert caught.value.reason is OutageReason.BROKEN
    database.dispose()


def test_a_locked_sqlite_file_is_an_outage(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.session.LOCK_TIMEOUT_S", 0)
    database, other = Database(sqlite_url), Database(sqlite_url)

    with other.begin(), pytest.raises(DatabaseUnavailable, match="locked") as caught, database.begin():
        pass

    assert caught.value.reason is OutageReason.TIMEOUT
    database.dispose()
    other.dispose()


def test_a_sqlite_file_that_cannot_be_written_is_an_outage(sqlite_url: str) -> None:
    file = make_url(sqlite_url).database
    database = Database(f"sqlite:///file:{file}?mode=ro&uri=true")

    with database.read() as tx:
        assert jobs.list(tx).items == ()
    with pytest.raises(DatabaseUnavailable, match="readonly") as caught, database.begin() as tx:
        queue.submit(tx, {})

    assert caught.value.reason is OutageReason.READ_ONLY
    database.dispose()


def _fill(tx: Transaction) -> None:
    for _ in range(1000):
        queue.submit(tx, {"text": "x" * 1000})


def test_a_server_that_has_become_read_only_is_an_outage_for_writers_alone(own_database: str) -> None:
    database = Database(own_database)
    with database.begin() as tx:
        job = queue.submit(tx, {})
    _set_read_only(own_database, "on")
    sessions = {_pid(database)}

    for attempt in (queue.submit, lambda tx, _: queue.claim(tx, "runner", 30)):
        with pytest.raises(DatabaseUnavailable, match="read-only transaction") as caught, database.begin() as tx:
            attempt(tx, {})
        assert caught.value.reason is OutageReason.READ_ONLY
        assert "standby after a failover" in str(caught.value)
        assert database.query(lambda tx: jobs.get(tx, job.id)) == job
        sessions.add(_pid(database))
    assert len(sessions) == 3, "each time, reads follow to a new connection"

    _set_read_only(own_database, "off")
    with database.begin() as tx:
        claim = queue.claim(tx, "runner", 30)
    assert claim is not None
    assert claim.job.id == job.id
    database.dispose()


def _set_read_only(url: str, value: str) -> None:
    """Change the default of new sessions; for ``on``, cut the open ones as a failover does."""
    parsed = make_url(url)
    engine = create_engine(parsed, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("SET default_transaction_read_only = off"))
        connection.execute(text(f"ALTER DATABASE {parsed.database} SET default_transaction_read_only = {value}"))
        if value == "on":
            cut = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = :name AND pid <> pg_backend_pid()"
            )
            connection.execute(text(cut), {"name": parsed.database})
    engine.dispose()


def _pid(database: Database) -> int:
    return int(database.query(lambda tx: tx.execute(text("SELECT pg_backend_pid()")).scalar_one()))
