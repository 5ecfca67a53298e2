"""A job's events, numbered from 1 without gaps: a reader that knows the last number it saw misses none."""

from sqlalchemy import ColumnElement, insert, select, update

from store.errors import JobNotFound
from store.leases import held_by, lost
from store.records import Event, Json, Lease
from store.session import Transaction
from store.tables import events, jobs


def append(tx: Transaction, lease: Lease, kind: str, data: Json) -> int:
    """Adds an event of the runner and returns its number; raises ``LeaseLost``."""
    number = _next_number(tx, held_by(lease))
    if number is None:
        raise lost(lease)
    return _add(tx, lease.job_id, number, kind, data)


def announce(tx: Transaction, job_id: str, kind: str, data: Json) -> int:
    """Adds an event of someone who holds no lease, such as the API; returns its number, raises ``JobNotFound``."""
    number = _next_number(tx, jobs.c.id == job_id)
    if number is None:
        raise JobNotFound(f"there is no job {job_id!r}")
    return _add(tx, job_id, number, kind, data)


def page(tx: Transaction, job_id: str, after: int = 0, limit: int = 100) -> tuple[Event, ...]:
    """The first ``limit`` events with a number above ``after``, in order."""
    query = (
        select(events.c.number, events.c.kind, events.c.at, events.c.data)
        .where(events.c.job_id == job_id, events.c.number > after)
        .order_by(events.c.number)
        .limit(limit)
    )
    return tuple(Event(row.number, row.kind, row.at, row.data) for row in tx.execute(query))


def _next_number(tx: Transaction, which: ColumnElement[bool]) -> int | None:
    # The counter's row stays locked until the commit, so numbers become visible in order.
    counted = update(jobs).where(which).values(event_count=jobs.c.event_count + 1).returning(jobs.c.event_count)
    return tx.execute(counted).scalar_one_or_none()


def _add(tx: Transaction, job_id: str, number: int, kind: str, data: Json) -> int:
    tx.execute(insert(events).values(job_id=job_id, number=number, kind=kind, data=data))
    return number
