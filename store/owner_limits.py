"""Limits of an owner: queued jobs and used GPU-hours."""

from math import ceil

from sqlalchemy import func, select

from store.clock import seconds_from_now, seconds_since
from store.errors import QuotaExceeded
from store.records import JobState
from store.session import Transaction
from store.tables import jobs

WINDOW_S = 30 * 86_400
"""Seconds over which GPU-hours are counted."""
RETRY_QUEUE_S = 60
"""Value of ``retry_after_s`` for a full queue, since the time until a place is free is unknown."""

_LOCKS_OF_OWNERS = 0x5AF6


def lock(tx: Transaction, owner: str | None) -> None:
    """Lock ``owner`` until the transaction ends; other transactions that call this for the same owner wait.

    So the number of jobs that is counted afterwards is still true when a job is queued. SQLite needs no lock, since it
    runs one writing transaction at a time.
    """
    if tx.dialect.name == "postgresql":
        tx.execute(select(func.pg_advisory_xact_lock(_LOCKS_OF_OWNERS, func.hashtext(owner or ""))))


def check_queued(tx: Transaction, owner: str, limit: int) -> None:
    """Raises ``QuotaExceeded`` if the owner has ``limit`` jobs in the queue; call ``lock`` first."""
    queued = select(func.count()).where(jobs.c.owner == owner, jobs.c.state == JobState.QUEUED)
    found = tx.execute(queued).scalar_one()
    if found >= limit:
        raise QuotaExceeded(
            f"{owner} has {found} queued jobs, and the limit is {limit}; cancel some, or wait until they have started",
            retry_after_s=RETRY_QUEUE_S,
        )


def check_gpu_hours(tx: Transaction, owner: str, limit: float) -> None:
    """Raises ``QuotaExceeded`` if the owner's jobs that ended in the last 30 days have used ``limit`` GPU-hours.

    Its ``retry_after_s`` is the time until enough of these jobs are older than 30 days.
    """
    recent = (
        select(jobs.c.finished_at, jobs.c.gpu_seconds)
        .where(jobs.c.owner == owner, jobs.c.finished_at > seconds_from_now(-WINDOW_S), jobs.c.gpu_seconds > 0)
        .subquery()
    )
    total_s = tx.execute(select(func.coalesce(func.sum(recent.c.gpu_seconds), 0.0))).scalar_one()
    if total_s < limit * 3600:
        return
    expiring = select(
        recent.c.finished_at,
        func.sum(recent.c.gpu_seconds).over(order_by=(recent.c.finished_at, recent.c.gpu_seconds)).label("seconds"),
    ).subquery()
    enough = select(func.min(expiring.c.finished_at)).where(total_s - expiring.c.seconds < limit * 3600)
    ended_s = tx.execute(select(seconds_since(enough.scalar_subquery()))).scalar_one()
    wait_s = WINDOW_S if ended_s is None else WINDOW_S - ended_s
    raise QuotaExceeded(
        f"the jobs of {owner} that ended in the last 30 days used {total_s / 3600:.1f} GPU-hours, and the limit is "
        f"{limit:g}",
        retry_after_s=max(1, ceil(wait_s)),
    )
