"""Translation of the drivers' errors into errors of the store, by SQLSTATE on PostgreSQL and by name on SQLite.

The class of a driver's error does not say whether the database is out of order: psycopg raises ``InternalError`` for a
server that has become read-only, and ``ProgrammingError`` for a prepared statement that a pooler has lost.
"""

from sqlalchemy import URL
from sqlalchemy.exc import DatabaseError, DataError, DBAPIError, OperationalError

from store.errors import AccessDenied, DatabaseUnavailable, InvalidValue, OutageReason, SchemaMissing, StoreError

READ_ONLY = "25006"

_OTHER_SCHEMA = frozenset({"42P01", "42703"})
"""undefined_table and undefined_column."""
_ACCESS_DENIED = "42501"
"""insufficient_privilege."""
_TOO_LARGE = "54"
"""Class program_limit_exceeded: values that are too large for an index, too deeply nested, and the like."""

_REASONS = {
    READ_ONLY: OutageReason.READ_ONLY,
    "25P03": OutageReason.TIMEOUT,  # idle_in_transaction_session_timeout
    "25P04": OutageReason.TIMEOUT,  # transaction_timeout
    "40": OutageReason.CONFLICT,  # serialization_failure, deadlock_detected
    "53": OutageReason.OVERLOADED,
    "53100": OutageReason.DISK_FULL,
    "53300": OutageReason.TOO_MANY_CONNECTIONS,
    "55P03": OutageReason.TIMEOUT,  # lock_not_available
    "57": OutageReason.SHUTTING_DOWN,  # admin_shutdown, crash_shutdown, cannot_connect_now, database_dropped
    "57014": OutageReason.TIMEOUT,  # query_canceled
    "57P05": OutageReason.TIMEOUT,  # idle_session_timeout
    "08": OutageReason.UNREACHABLE,
    "58": OutageReason.BROKEN,  # errors of the server's operating system
    "72": OutageReason.CONFLICT,  # snapshot_too_old
    "F0": OutageReason.BROKEN,  # errors of the server's configuration
    "XX": OutageReason.BROKEN,  # internal errors, corrupted data
    "26000": OutageReason.SESSION_LOST,  # a prepared statement that does not exist (any more)
    "42P05": OutageReason.SESSION_LOST,  # a prepared statement that exists already
}
"""Reasons by SQLSTATE, or by its class in the first two characters."""

_SQLITE_REASONS = {
    "SQLITE_READONLY": OutageReason.READ_ONLY,
    "SQLITE_FULL": OutageReason.DISK_FULL,
    "SQLITE_BUSY": OutageReason.TIMEOUT,
    "SQLITE_LOCKED": OutageReason.TIMEOUT,
    "SQLITE_CORRUPT": OutageReason.BROKEN,
    "SQLITE_NOTADB": OutageReason.BROKEN,
    "SQLITE_IOERR": OutageReason.BROKEN,
}
"""Reasons by the beginning of SQLite's name of the error."""

_REFUSALS = {
    "too many clients already": OutageReason.TOO_MANY_CONNECTIONS,
    "too many connections": OutageReason.TOO_MANY_CONNECTIONS,
    "remaining connection slots are reserved": OutageReason.TOO_MANY_CONNECTIONS,
    "the database system is": OutageReason.SHUTTING_DOWN,  # starting up, shutting down, in recovery mode
}
"""Reasons by a part of the message of PostgreSQL, which sends no SQLSTATE to a client that it does not let in."""

_ADVICE = {
    OutageReason.UNREACHABLE: "Check that it runs, and SAFS_DATABASE_URL",
    OutageReason.READ_ONLY: "It may be a standby after a failover, or its disk may be full. Make it writable, or let "
    "SAFS_DATABASE_URL lead to the primary",
    OutageReason.SHUTTING_DOWN: "Wait until it runs again; a retry succeeds if only this connection was closed",
    OutageReason.TOO_MANY_CONNECTIONS: "Raise max_connections, run fewer processes, or put PgBouncer before it",
    OutageReason.DISK_FULL: "Free space on the database's disk",
    OutageReason.OVERLOADED: "Look at the memory and the limits of its server",
    OutageReason.CONFLICT: "Another transaction was in the way; a retry succeeds",
    OutageReason.TIMEOUT: "Another transaction holds a lock, or the server is overloaded",
    OutageReason.SESSION_LOST: "A connection pooler has changed the session; let it pool sessions or transactions",
    OutageReason.BROKEN: "Look into the database's log",
}


def translated(error: DBAPIError, url: URL) -> StoreError | None:
    """The error of the store that ``error`` stands for; None if it concerns neither the database nor a value.

    Args:
        url: URL of the database, for the message.
    """
    cause, sqlstate = str(error.orig).strip(), sqlstate_of(error)
    if sqlstate in _OTHER_SCHEMA or cause.startswith(("no such table", "no such column")):
        return SchemaMissing(
            f"the database {redacted(url)} does not have the tables that this version needs; run `safs migrate`"
        )
    if sqlstate == _ACCESS_DENIED:
        return _access_denied(cause.partition("\n")[0], url)
    if isinstance(error, DataError) or sqlstate.startswith(_TOO_LARGE):
        return InvalidValue(f"the database cannot hold this value: {cause}")
    reason = _reason(error, sqlstate)
    if reason is None:
        return None
    return DatabaseUnavailable(f"the database {redacted(url)} does not work: {cause}. {_ADVICE[reason]}", reason=reason)


def sqlstate_of(error: DBAPIError) -> str:
    """PostgreSQL's code of the error, such as ``25006``; empty on SQLite, and if the server sent none."""
    return getattr(error.orig, "sqlstate", None) or ""


def redacted(url: URL) -> str:
    """The URL without its password."""
    return url.difference_update_query(["password"]).render_as_string(hide_password=True)


def _reason(error: DBAPIError, sqlstate: str) -> OutageReason | None:
    if sqlstate:
        known = _REASONS.get(sqlstate) or _REASONS.get(sqlstate[:2])
    else:
        name = getattr(error.orig, "sqlite_errorname", "")
        known = next((reason for begin, reason in _SQLITE_REASONS.items() if name.startswith(begin)), None)
        message = str(error.orig)
        known = known or next((reason for part, reason in _REFUSALS.items() if part in message), None)
    if known is not None:
        return known
    unclassified = isinstance(error, OperationalError) or type(error) is DatabaseError or error.connection_invalidated
    return OutageReason.UNREACHABLE if unclassified else None


def _access_denied(cause: str, url: URL) -> AccessDenied:
    role = f'the role "{url.username}"' if url.username else "the role of the service"
    return AccessDenied(
        f"{role} lacks a privilege in the database {redacted(url)}: {cause}. Let an administrator GRANT CREATE ON "
        f'SCHEMA public TO "{url.username or "ROLE"}" (or whatever privilege is missing), or use another role in '
        "SAFS_DATABASE_URL, such as the owner of the tables"
    )
