"""Events of a job, numbered from 1 without gaps, so that a reader can resume after the last number it has seen."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Integer, bindparam, insert, select, update

from store.errors import JobNotFound
from store.leases import held_by, lost
from store.records import Event, Json, Lease
from store.session import Transaction
from store.tables import events, jobs


def append(tx: Transaction, lease: Lease, kind: str, data: Json) -> int:
    """Append an event as the runner of the job; returns its number. Raises ``LeaseLost``."""
    number = _next_number(tx, held_by(lease))
    if number is None:
        raise lost(lease)
    return _add(tx, lease.job_id, number, kind, data)


def announce(tx: Transaction, job_id: str, kind: str, data: Json) -> int:
    """Append an event without a lease, as the API does; returns its number. Raises ``JobNotFound``."""
    number = _next_number(tx, jobs.c.id == job_id)
    if number is None:
        raise JobNotFound(f"there is no job {job_id!r}")
    return _add(tx, job_id, number, kind, data)


def page(
    tx: Transaction, job_id: str, after: int = 0, limit: int = 100, *, kinds: Sequence[str] = ()
) -> tuple[Event, ...]:
    """The first ``limit`` events with a number above ``after``, in order.

    Args:
        kinds: only events of these kinds; empty for all.
    """
    given = {"job_id": job_id, "after": after, "limit": limit}
    statement = _PAGE.where(events.c.kind.in_(kinds)) if kinds else _PAGE
    return tuple(Event(*row) for row in tx.execute(statement, given).all())


# Built once: building the statement takes longer than running it.
_PAGE = (
    select(*(events.c[name] for name in Event.__slots__))
    .where(events.c.job_id == bindparam("job_id"), events.c.number > bindparam("after"))
    .order_by(events.c.number)
    .limit(bindparam("limit", type_=Integer))
)


def _next_number(tx: Transaction, which: ColumnElement[bool]) -> int | None:
    # The job's row stays locked until the commit, so numbers become visible in order.
    counted = update(jobs).where(which).values(event_count=jobs.c.event_count + 1).returning(jobs.c.event_count)
    return tx.execute(counted).scalar_one_or_none()


def _add(tx: Transaction, job_id: str, number: int, kind: str, data: Json) -> int:
    tx.execute(insert(events).values(job_id=job_id, number=number, kind=kind, data=data))
    return number
