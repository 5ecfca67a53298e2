"""Time by the database's clock, so that runners with different clocks agree on which leases have expired."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Double, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime: TIMESTAMPTZ on PostgreSQL, on SQLite text of fixed width that sorts by time."""

    impl = DateTime(timezone=True).with_variant(Text(), "sqlite")
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        assert value.tzinfo is not None, "a datetime without a time zone"
        utc = value.astimezone(UTC)
        return utc if dialect.name != "sqlite" else f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment: datetime = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


class now(FunctionElement[datetime]):  # noqa: N801 - named like the SQL function
    """The current time of the database, not the time at which the transaction began."""

    type = UtcDateTime()
    inherit_cache = True


class seconds_from_now(FunctionElement[datetime]):  # noqa: N801 - as above
    """``now()`` plus a number of seconds, which may be negative."""

    type = UtcDateTime()
    inherit_cache = True


class seconds_since(FunctionElement[float]):  # noqa: N801 - as above
    """The number of seconds from a point in time until ``now()``."""

    type = Double()
    inherit_cache = True


@compiles(now, "postgresql")
def _(element: now, compiler: Any, **_options: Any) -> str:
    return "clock_timestamp()"


@compiles(now, "sqlite")
def _(element: now, compiler: Any, **_options: Any) -> str:
    return "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"


@compiles(seconds_from_now, "postgresql")
def _(element: seconds_from_now, compiler: Any, **options: Any) -> str:
    return f"clock_timestamp() + make_interval(secs => {compiler.process(element.clauses, **options)})"


@compiles(seconds_from_now, "sqlite")
def _(element: seconds_from_now, compiler: Any, **options: Any) -> str:
    return f"strftime('%Y-%m-%dT%H:%M:%fZ', 'now', {compiler.process(element.clauses, **options)} || ' seconds')"


@compiles(seconds_since, "postgresql")
def _(element: seconds_since, compiler: Any, **options: Any) -> str:
    return f"extract(epoch FROM clock_timestamp() - {compiler.process(element.clauses, **options)})::double precision"


@compiles(seconds_since, "sqlite")
def _(element: seconds_since, compiler: Any, **options: Any) -> str:
    moment = compiler.process(element.clauses, **options)
    return f"(julianday('now') - julianday({moment})) * 86400.0"
