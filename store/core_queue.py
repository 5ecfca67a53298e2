"""The queue of running jobs for the cores of a shared Ray cluster, in the order of their claims.

A job enters with its claim and leaves once all its workers have started or its attempt has ended. Nothing else keeps
the order: a job whose runner has died leaves when its lease expires.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, or_, select

from store.clock import now
from store.leases import hold, write
from store.records import ACTIVE_STATES, Lease
from store.session import Transaction
from store.tables import jobs


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a job among the jobs that were claimed on its cluster and have not ended."""

    waiting: int
    """Number of earlier jobs that do not have all their cores yet."""
    before: int
    """Number of all earlier jobs, those that have their cores included."""


def place(tx: Transaction, lease: Lease) -> Place:
    """Return the job's present place. Raises ``LeaseLost``."""
    hold(tx, lease)
    own = select(jobs.c.cluster, jobs.c.claimed_at, jobs.c.id).where(jobs.c.id == lease.job_id).subquery()
    earlier = or_(
        jobs.c.claimed_at < own.c.claimed_at, and_(jobs.c.claimed_at == own.c.claimed_at, jobs.c.id < own.c.id)
    )
    counts = select(func.count(jobs.c.cores_awaited), func.count()).where(
        jobs.c.cluster == own.c.cluster, earlier, _is_alive()
    )
    waiting, before = tx.execute(counts).one()
    return Place(int(waiting), int(before))


def wait(tx: Transaction, lease: Lease, cores: int, before: int) -> None:
    """Record that the job waits for this many cores behind this many jobs. Raises ``LeaseLost``."""
    write(tx, lease, cores_awaited=cores, jobs_before=before)


def leave(tx: Transaction, lease: Lease) -> None:
    """Record that the job has its cores. Raises ``LeaseLost``."""
    write(tx, lease, cores_awaited=None, jobs_before=None)


def is_waited_for(tx: Transaction, cluster: str) -> bool:
    """Return True if a job is known to wait for cores of this cluster."""
    waiting = select(jobs.c.id).where(jobs.c.cluster == cluster, jobs.c.cores_awaited > 0, _is_alive())
    return tx.execute(waiting.limit(1)).one_or_none() is not None


def _is_alive() -> ColumnElement[bool]:
    return and_(jobs.c.state.in_(ACTIVE_STATES), jobs.c.lease_expires_at > now())
