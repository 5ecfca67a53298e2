"""How much an owner may have in the queue, and may have used of GPUs."""

from math import ceil

from sqlalchemy import func, select

from store.clock import seconds_from_now, seconds_since
from store.errors import QuotaExceeded
from store.records import JobState
from store.session import Transaction
from store.tables import jobs

WINDOW_S = 30 * 86_400
"""GPU-hours are counted over so long."""
LOOK_AGAIN_S = 60
"""Nobody knows when a queue will have moved."""

_LOCKS_OF_OWNERS = 0x5AF6


def hold(tx: Transaction, owner: str | None) -> None:
    """Lets no other transaction that calls this for the same owner go on until this one has ended.

    What is counted after it is still true when a job is queued. On SQLite every transaction that writes is alone.
    """
    if tx.dialect.name == "postgresql":
        tx.execute(select(func.pg_advisory_xact_lock(_LOCKS_OF_OWNERS, func.hashtext(owner or ""))))


def check_queued(tx: Transaction, owner: str, limit: int) -> None:
    """Raises ``QuotaExceeded`` if the owner has ``limit`` jobs in the queue; call ``hold`` first."""
    queued = select(func.count()).where(jobs.c.owner == owner, jobs.c.state == JobState.QUEUED)
    found = tx.execute(queued).scalar_one()
    if found >= limit:
        raise QuotaExceeded(
            f"{owner} has {found} jobs in the queue, and may have {limit}; cancel some, or wait until they have begun",
            retry_after_s=LOOK_AGAIN_S,
        )


def check_gpu_hours(tx: Transaction, owner: str, limit: float) -> None:
    """Raises ``QuotaExceeded`` if the owner's jobs that ended within the last 30 days used ``limit`` GPU-hours.

    It says when enough of them will be older than that.
    """
    recent = (
        select(jobs.c.finished_at, jobs.c.gpu_seconds)
        .where(jobs.c.owner == owner, jobs.c.finished_at > seconds_from_now(-WINDOW_S), jobs.c.gpu_seconds > 0)
        .subquery()
    )
    total_s = tx.execute(select(func.coalesce(func.sum(recent.c.gpu_seconds), 0.0))).scalar_one()
    if total_s < limit * 3600:
        return
    gone = select(
        recent.c.finished_at,
        func.sum(recent.c.gpu_seconds).over(order_by=(recent.c.finished_at, recent.c.gpu_seconds)).label("seconds"),
    ).subquery()
    enough = select(func.min(gone.c.finished_at)).where(total_s - gone.c.seconds < limit * 3600)
    ended_s = tx.execute(select(seconds_since(enough.scalar_subquery()))).scalar_one()
    wait_s = WINDOW_S if ended_s is None else WINDOW_S - ended_s
    raise QuotaExceeded(
        f"the jobs of {owner} that ended in the last 30 days used {total_s / 3600:.1f} GPU-hours of {limit:g}",
        retry_after_s=max(1, ceil(wait_s)),
    )
