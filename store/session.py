"""The database: connection pools and transactions.

SQLite runs in WAL mode with foreign keys enforced. Python's driver would begin transactions itself, late and deferred.
We begin them explicitly, and IMMEDIATE where they may write, so that two writers wait for the lock at their beginning
instead of failing when the second one upgrades its lock (SQLAlchemy manual, "Serializable isolation / Savepoints /
Transactional DDL" of the pysqlite dialect).
"""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from pydantic_core import from_json
from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from store.database_errors import READ_ONLY, redacted, sqlstate_of, translated
from store.errors import DatabaseUnavailable, OutageReason, StoreError

Transaction: TypeAlias = Connection
"""A connection inside a transaction that the caller began and will end."""

Result = TypeVar("Result")

LOCK_TIMEOUT_S = 30
CONNECT_TIMEOUT_S = 10


class Database:
    """A database with its connection pools; safe to share between threads, not between processes."""

    def __init__(self, url: str) -> None:
        """Create the pools; the first connection is made by the first transaction.

        Args:
            url: ``sqlite:///path`` or ``postgresql://user:password@host/name``.
        """
        self.url = _parsed(url)
        make_engine = _sqlite_engine if self.url.get_backend_name() == "sqlite" else _postgresql_engine
        self.engine = make_engine(self.url)
        event.listen(self.engine, "handle_error", self._reconnect_if_read_only)
        self._reader = _reader(self.engine)
        self._autocommit_reader = self._reader if make_engine is _sqlite_engine else _autocommit_engine(self.url)

    def __repr__(self) -> str:
        return f"Database({self.redacted_url!r})"

    @property
    def redacted_url(self) -> str:
        """The URL without its password."""
        return redacted(self.url)

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        """A transaction that may write: committed at the end of the block, rolled back if it raises."""
        with _errors_translated(self.url, writes=True), self.engine.begin() as tx:
            yield tx

    def read(self) -> AbstractContextManager[Transaction]:
        """A transaction that may only read; on SQLite, it does not wait for writers, nor do writers wait for it."""
        return _read(self._reader, self.url)

    def query(self, read: Callable[[Transaction], Result]) -> Result:
        """The result of ``read``, for frequent small queries that need no snapshot.

        On PostgreSQL each statement is a transaction of its own, which takes one round trip instead of four. If the
        pooled connection turns out to be lost, ``read`` is called once more on another connection.
        """
        try:
            return self._query(read)
        except DatabaseUnavailable as error:
            if not getattr(error.__cause__, "connection_invalidated", False):
                raise
            return self._query(read)

    def _query(self, read: Callable[[Transaction], Result]) -> Result:
        with _read(self._autocommit_reader, self.url) as tx:
            return read(tx)

    @property
    def engines(self) -> tuple[Engine, ...]:
        """The engines that have a connection pool of their own."""
        return (self.engine,) if self._autocommit_reader is self._reader else (self.engine, self._autocommit_reader)

    def _reconnect_if_read_only(self, context: ExceptionContext) -> None:
        """Discards all connections if the server refuses a write because it is read-only.

        After a failover, connections to the old primary stay open, and would be used for ever. New ones can lead to
        the new primary. The pool for reads has to follow, or it would not see what is written from then on.
        """
        error, connection = context.sqlalchemy_exception, context.connection
        if not isinstance(error, DBAPIError) or sqlstate_of(error) != READ_ONLY or connection is None:
            return
        if connection.get_execution_options().get("safs_read_only"):
            return  # The transaction is read-only, not the server.
        context.is_disconnect = True
        self._autocommit_reader.dispose()

    def dispose(self) -> None:
        """Close all connections of the pools."""
        for engine in self.engines:
            engine.dispose()


def read(engine: Engine) -> AbstractContextManager[Transaction]:
    """``Database.read``, given the engine of a ``Database``."""
    return _read(_reader(engine), engine.url)


def _reader(engine: Engine) -> Engine:
    """``engine`` with the same pool, for transactions that only read."""
    return engine.execution_options(safs_read_only=True, postgresql_readonly=True)


@contextmanager
def _read(reader: Engine, url: URL) -> Iterator[Transaction]:
    with _errors_translated(url, writes=False), reader.begin() as tx:
        yield tx


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # The message has neither the URL nor the cause, since they may contain a password.
        raise StoreError("not a database URL; one looks like postgresql://user:password@host/name") from None
    match parsed.get_backend_name():
        case "sqlite":
            return parsed
        case "postgresql" | "postgres":
            return parsed.set(drivername="postgresql+psycopg")
        case other:
            raise StoreError(f"{other!r} databases are not supported; choose sqlite or postgresql")


def _postgresql_engine(url: URL) -> Engine:
    timeout = {"connect_timeout": CONNECT_TIMEOUT_S}
    engine = create_engine(url, pool_pre_ping=True, connect_args=timeout, **_JSON)
    event.listen(engine, "connect", _prepare_postgresql)
    return engine


def _autocommit_engine(url: URL) -> Engine:
    """An engine for ``Database.query``: its connections commit each statement, and refuse those that write."""
    timeout = {"connect_timeout": CONNECT_TIMEOUT_S}
    engine = create_engine(url, isolation_level="AUTOCOMMIT", connect_args=timeout, **_JSON)
    event.listen(engine, "connect", _prepare_postgresql_query)
    return engine


def _sqlite_engine(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise StoreError("an SQLite database needs a file: in memory, each connection would have its own database")
    try:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseUnavailable(
            f"the folder of {redacted(url)} cannot be created: {error}. Set SAFS_HOME to a folder that can be written"
        ) from error
    engine = create_engine(url, connect_args={"timeout": LOCK_TIMEOUT_S}, **_JSON)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _to_json(value: Any) -> str:
    # JSON has no NaN and no infinity: PostgreSQL would refuse them, SQLite would store them and break readers.
    return json.dumps(value, allow_nan=False)


# pydantic's parser takes a third of the time of Python's own, and a page of jobs is half a megabyte of specs.
_JSON: dict[str, Any] = {"json_serializer": _to_json, "json_deserializer": from_json}


def _prepare_postgresql(connection: Any, _record: object) -> None:
    connection.autocommit = True
    if _is_pooled(connection):
        connection.prepare_threshold = None
    else:
        connection.execute(_KEEPALIVE)
    connection.autocommit = False


def _prepare_postgresql_query(connection: Any, _record: object) -> None:
    connection.autocommit = True
    if _is_pooled(connection):
        connection.prepare_threshold = None
        # A transaction for each query in place of a setting of the session. SQLAlchemy calls commit() in any case.
        connection.autocommit, connection.read_only = False, True
    else:
        connection.execute(f"{_KEEPALIVE}, set_config('default_transaction_read_only', 'on', false)")


# The server notices within a minute that the client's machine is gone, and releases its locks.
_KEEPALIVE = "SELECT " + ", ".join(
    f"set_config('tcp_keepalives_{name}', '{value}', false)"
    for name, value in (("idle", 30), ("interval", 10), ("count", 3))
)


def _is_pooled(connection: Any) -> bool:
    """True if a pooler such as PgBouncer, and not the server, answers on this connection.

    A pooler can give each transaction another session of the server. Settings of a session would then reach other
    clients, and prepared statements would be missing, so neither may be used. A pooler is recognised by the process
    id that it sends to clients, since it is not that of the server's process.
    """
    (backend_pid,) = connection.execute("SELECT pg_backend_pid()").fetchone()
    return bool(backend_pid != connection.info.backend_pid)


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        connection.execute("PRAGMA journal_mode = WAL").close()
    connection.execute("PRAGMA foreign_keys = ON").close()


def _begin_sqlite(connection: Connection) -> None:
    if not connection.get_execution_options().get("safs_read_only"):
        connection.exec_driver_sql("PRAGMA query_only = 0")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    # Directly by the driver: neither statement can fail, and through SQLAlchemy they would cost more than most reads.
    cursor = connection.connection.cursor()
    cursor.execute("PRAGMA query_only = 1")
    cursor.execute("BEGIN")
    cursor.close()


@contextmanager
def _errors_translated(url: URL, *, writes: bool) -> Iterator[None]:
    """Turns the driver's errors into errors of the store where they concern the database or the values."""
    try:
        yield
    except DBAPIError as error:
        known = translated(error, url)
        if known is None or (not writes and getattr(known, "reason", None) is OutageReason.READ_ONLY):
            raise  # A write in a transaction that may only read is a bug, not an outage.
        raise known from error
    except PoolTimeout as error:
        raise DatabaseUnavailable(
            f"all connections to {redacted(url)} are in use, and none became free: {error}",
            reason=OutageReason.TOO_MANY_CONNECTIONS,
        ) from error
