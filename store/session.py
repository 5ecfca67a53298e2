"""The database: an engine with its transactions.

SQLite runs in WAL mode with foreign keys enforced. Python's driver would begin transactions on its own, late and
deferred; we begin them ourselves, IMMEDIATE where something is written, so that two writers queue up for the lock
at once instead of failing when the second wants to upgrade (SQLAlchemy manual, "Serializable isolation / Savepoints /
Transactional DDL" of the pysqlite dialect).
"""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from pydantic_core import from_json
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DataError,
    IntegrityError,
    InternalError,
    NotSupportedError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from store.errors import AccessDenied, DatabaseUnavailable, InvalidValue, SchemaMissing, StoreError

Transaction: TypeAlias = Connection
"""A connection inside a transaction that the caller began and will end."""

Answer = TypeVar("Answer")

LOCK_TIMEOUT_S = 30
CONNECT_TIMEOUT_S = 10

_OTHER_SCHEMA = ("42P01", "42703")
"""PostgreSQL's undefined_table and undefined_column."""
_ACCESS_DENIED = "42501"
"""PostgreSQL's insufficient_privilege."""


class Database:
    """A database and its pool of connections; safe to share between threads, not between processes."""

    def __init__(self, url: str) -> None:
        """Connects at the first transaction, not before.

        Args:
            url: ``sqlite:///path`` or ``postgresql://user:password@host/name``.
        """
        self.url = _parsed(url)
        make_engine = _sqlite_engine if self.url.get_backend_name() == "sqlite" else _postgresql_engine
        self.engine = make_engine(self.url)
        self._reader = _reader(self.engine)
        self._answering = self._reader if make_engine is _sqlite_engine else _answering_engine(self.url)

    def __repr__(self) -> str:
        return f"Database({self.shown_url!r})"

    @property
    def shown_url(self) -> str:
        """The URL for people, without its password."""
        return shown(self.url)

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        """A transaction that may write: committed at the end of the block, rolled back if it raises."""
        with _errors_named(self.url), self.engine.begin() as tx:
            yield tx

    def read(self) -> AbstractContextManager[Transaction]:
        """A transaction that may only read; on SQLite it waits for no writer, and no writer waits for it."""
        return _read(self._reader, self.url)

    def ask(self, question: Callable[[Transaction], Answer]) -> Answer:
        """What ``question`` reads, for those who answer many small questions and need no snapshot.

        On PostgreSQL each of its statements is a transaction of its own, which leaves one round trip of four. A
        connection that was lost while nobody used it is noticed by the question, which is then asked once more.
        """
        try:
            return self._ask(question)
        except DatabaseUnavailable as error:
            if not getattr(error.__cause__, "connection_invalidated", False):
                raise
            return self._ask(question)

    def _ask(self, question: Callable[[Transaction], Answer]) -> Answer:
        with _read(self._answering, self.url) as tx:
            return question(tx)

    @property
    def engines(self) -> tuple[Engine, ...]:
        """All that have connections of their own."""
        return (self.engine,) if self._answering is self._reader else (self.engine, self._answering)

    def dispose(self) -> None:
        """Closes all connections of the pools."""
        for engine in self.engines:
            engine.dispose()


def read(engine: Engine) -> AbstractContextManager[Transaction]:
    """``Database.read`` for those who have the engine of a ``Database`` alone."""
    return _read(_reader(engine), engine.url)


def _reader(engine: Engine) -> Engine:
    """``engine`` for transactions that only read; it shares the pool."""
    return engine.execution_options(safs_read_only=True, postgresql_readonly=True)


@contextmanager
def _read(reader: Engine, url: URL) -> Iterator[Transaction]:
    with _errors_named(url), reader.begin() as tx:
        yield tx


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Neither the URL nor the cause is shown: they may hold a password.
        raise StoreError("this is no database URL, such as postgresql://user:password@host/name") from None
    match parsed.get_backend_name():
        case "sqlite":
            return parsed
        case "postgresql" | "postgres":
            return parsed.set(drivername="postgresql+psycopg")
        case other:
            raise StoreError(f"there is no support for {other!r} databases; choose sqlite or postgresql")


def _postgresql_engine(url: URL) -> Engine:
    patience = {"connect_timeout": CONNECT_TIMEOUT_S}
    engine = create_engine(url, pool_pre_ping=True, connect_args=patience, **_JSON)
    event.listen(engine, "connect", _prepare_postgresql)
    return engine


def _answering_engine(url: URL) -> Engine:
    """For ``Database.ask``: connections that commit each statement and refuse those that write."""
    patience = {"connect_timeout": CONNECT_TIMEOUT_S}
    engine = create_engine(url, isolation_level="AUTOCOMMIT", connect_args=patience, **_JSON)
    event.listen(engine, "connect", _prepare_postgresql)
    event.listen(engine, "connect", _refuse_writes)
    return engine


def _sqlite_engine(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise StoreError("an SQLite database needs a file: each connection would have a memory of its own")
    try:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseUnavailable(f"the folder of {shown(url)} cannot be made: {error}. Choose SAFS_HOME") from error
    engine = create_engine(url, connect_args={"timeout": LOCK_TIMEOUT_S}, **_JSON)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _to_json(value: Any) -> str:
    # NaN and infinity are no JSON: PostgreSQL would refuse them, SQLite would keep them for a reader to trip over.
    return json.dumps(value, allow_nan=False)


# pydantic's reader takes a third of the time of Python's own, and a page of jobs is half a megabyte of specs.
_JSON: dict[str, Any] = {"json_serializer": _to_json, "json_deserializer": from_json}


def _prepare_postgresql(connection: Any, _record: object) -> None:
    """Lets the server notice within a minute that our machine has vanished, with what its transactions had locked."""
    connection.autocommit = True
    for setting, value in (("idle", 30), ("interval", 10), ("count", 3)):
        connection.execute(f"SET tcp_keepalives_{setting} = {value}")
    connection.autocommit = False


def _refuse_writes(connection: Any, _record: object) -> None:
    connection.autocommit = True
    connection.execute("SET default_transaction_read_only = on")


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
    # Straight to the driver: neither can fail, and through SQLAlchemy they would cost more than most reads.
    cursor = connection.connection.cursor()
    cursor.execute("PRAGMA query_only = 1")
    cursor.execute("BEGIN")
    cursor.close()


@contextmanager
def _errors_named(url: URL) -> Iterator[None]:
    """Turns the driver's errors into ours where they say something about the database or the values."""
    try:
        yield
    except DatabaseError as error:
        named = _named(error, url)
        if named is None:
            raise
        raise named from error
    except PoolTimeout as error:
        raise DatabaseUnavailable(f"all connections to {shown(url)} are in use, and none came free: {error}") from error


def _named(error: DatabaseError, url: URL) -> StoreError | None:
    cause, database = str(error.orig).strip(), shown(url)
    sqlstate = getattr(error.orig, "sqlstate", None)
    if sqlstate in _OTHER_SCHEMA or cause.startswith(("no such table", "no such column")):
        return SchemaMissing(
            f"the database {database} does not have the tables that this version needs; run `safs migrate`"
        )
    if sqlstate == _ACCESS_DENIED:
        return _access_denied(cause.partition("\n")[0], url)
    match error:
        case DataError():
            return InvalidValue(f"the database cannot hold this value: {cause}")
        case IntegrityError() | InternalError() | NotSupportedError() | ProgrammingError():
            return None
        case _:
            return DatabaseUnavailable(
                f"the database {database} does not work: {cause}. Check that it runs, and SAFS_DATABASE_URL"
            )


def _access_denied(cause: str, url: URL) -> AccessDenied:
    who = f'the role "{url.username}"' if url.username else "our role"
    return AccessDenied(
        f"{who} may not do this in the database {shown(url)}: {cause}. Let an administrator GRANT CREATE ON SCHEMA "
        f'public TO "{url.username or "ROLE"}" (or what else it lacks), or name in SAFS_DATABASE_URL another role, '
        "such as the owner of the tables"
    )


def shown(url: URL) -> str:
    """The URL without its password."""
    return url.difference_update_query(["password"]).render_as_string(hide_password=True)
