"""Times by the database's clock."""

from datetime import UTC, datetime, timedelta, timezone

from sqlalchemy import literal, select

from store.clock import UtcDateTime, now, seconds_from_now
from store.session import Database


def test_moment_comes_back_aware_and_in_utc_to_the_millisecond(database: Database) -> None:
    moment = datetime(2026, 3, 1, 1, 2, 3, 456_000, tzinfo=timezone(timedelta(hours=5)))

    with database.read() as tx:
        found = tx.execute(select(literal(moment, UtcDateTime()))).scalar_one()

    assert found == moment
    assert found.tzinfo is UTC
    assert found.hour == 20


def test_seconds_from_now_reach_into_future_and_past(database: Database) -> None:
    with database.read() as tx:
        past, present, future = tx.execute(select(seconds_from_now(-3600.5), now(), seconds_from_now(3600))).one()

    tolerance = timedelta(seconds=5)
    assert abs(past - present - timedelta(seconds=-3600.5)) < tolerance
    assert abs(future - present - timedelta(hours=1)) < tolerance
    assert abs(present - datetime.now(UTC)) < timedelta(minutes=5)
