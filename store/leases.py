"""The check that every write of a runner makes: the runner still holds the lease of the job."""

from sqlalchemy import ColumnElement, and_, select, update

from store.errors import LeaseLost
from store.records import ACTIVE_STATES, Job, Lease
from store.rows import JOB_COLUMNS, job_from
from store.session import Transaction
from store.tables import jobs


def hold(tx: Transaction, lease: Lease) -> None:
    """Lock the job's row until the transaction ends, or raise ``LeaseLost`` if ``lease`` is no longer held.

    An expired lease is still held until another runner claims the job.
    """
    # The row lock keeps another runner from claiming the job before this transaction has committed.
    held = select(jobs.c.id).where(held_by(lease)).with_for_update(key_share=True)
    if tx.execute(held).one_or_none() is None:
        raise lost(lease)


def write(tx: Transaction, lease: Lease, **values: object) -> Job:
    """Update the job's row, or raise ``LeaseLost`` if ``lease`` is no longer held."""
    row = tx.execute(update(jobs).where(held_by(lease)).values(values).returning(*JOB_COLUMNS)).one_or_none()
    if row is None:
        raise lost(lease)
    return job_from(row)


def held_by(lease: Lease) -> ColumnElement[bool]:
    """SQL condition: the row of ``jobs`` is held by this lease."""
    return and_(jobs.c.id == lease.job_id, jobs.c.lease_token == lease.token, jobs.c.state.in_(ACTIVE_STATES))


def lost(lease: Lease) -> LeaseLost:
    """The error for a lease that is no longer held."""
    return LeaseLost(
        f"the lease of job {lease.job_id} is lost: it expired and another runner claimed the job, or the job ended"
    )
