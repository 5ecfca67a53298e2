"""The database: an engine with its transactions.

SQLite runs in WAL mode with foreign keys enforced. Python's driver would begin transactions on its own, late and
deferred; we begin them ourselves, IMMEDIATE where something is written, so that two writers queue up for the lock
at once instead of failing when the second wants to upgrade (SQLAlchemy manual, "Serializable isolation / Savepoints /
Transactional DDL" of the pysqlite dialect).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, OperationalError, ProgrammingError

from store.errors import DatabaseUnavailable, InvalidValue, SchemaMissing, StoreError

Transaction: TypeAlias = Connection
"""A connection inside a transaction that the caller began and will end."""

LOCK_TIMEOUT_S = 30
CONNECT_TIMEOUT_S = 10


class Database:
    """A database and its pool of connections; safe to share between threads, not between processes."""

    def __init__(self, url: str) -> None:
        """Connects at the first transaction.

        Args:
            url: as ``StoreSettings.database_url`` gives it.
        """
        self.url = _parsed(url)
        self.engine = _sqlite_engine(self.url) if self.url.get_backend_name() == "sqlite" else _postgresql(self.url)

    def __repr__(self) -> str:
        return f"Database({str(self.url)!r})"

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        """A transaction that may write: committed at the end of the block, rolled back if it raises."""
        with self._errors_named(), self.engine.begin() as tx:
            yield tx

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A transaction that may only read; on SQLite it waits for no writer, and no writer waits for it."""
        reader = self.engine.execution_options(safs_read_only=True, postgresql_readonly=True)
        with self._errors_named(), reader.begin() as tx:
            yield tx

    def dispose(self) -> None:
        """Closes all connections of the pool."""
        self.engine.dispose()

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            named = _named(error, str(self.url))
            if named is None:
                raise
            raise named from error


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError as error:
        # The URL may hold a password, so it is not repeated here, nor is the cause shown.
        raise StoreError("SAFS_DATABASE_URL is no database URL, such as postgresql://user:password@host/name") from (
            error if "@" not in url else None
        )


def _postgresql(url: URL) -> Engine:
    return create_engine(
        url,
        pool_pre_ping=True,
        json_serializer=_to_json,
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S},
    )


def _sqlite_engine(url: URL) -> Engine:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, json_serializer=_to_json, connect_args={"timeout": LOCK_TIMEOUT_S})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _to_json(value: Any) -> str:
    # NaN and infinity are no JSON: PostgreSQL would refuse them, SQLite would keep them for a reader to trip over.
    return json.dumps(value, allow_nan=False)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        connection.execute("PRAGMA journal_mode = WAL").close()
    connection.execute("PRAGMA foreign_keys = ON").close()


def _begin_sqlite(connection: Connection) -> None:
    read_only = bool(connection.get_execution_options().get("safs_read_only"))
    connection.exec_driver_sql(f"PRAGMA query_only = {int(read_only)}")
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _named(error: DBAPIError, url: str) -> StoreError | None:
    """The error as our callers know it, or None if it is none of theirs."""
    cause = str(error.orig)
    if "no such table" in cause or getattr(error.orig, "sqlstate", None) == "42P01":
        return SchemaMissing(f"the database {url} has no tables yet, or old ones; run `safs migrate`")
    match error:
        case DataError():
            return InvalidValue(f"the database cannot hold this value: {cause}")
        case OperationalError():
            return DatabaseUnavailable(
                f"the database {url} does not answer: {cause.strip()}. Check that it runs and SAFS_DATABASE_URL"
            )
        case ProgrammingError():
            return None
        case _:
            return None
