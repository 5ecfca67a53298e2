"""The check that every write of a runner passes: the lease is still its own; and the write to the job's own row."""

from sqlalchemy import ColumnElement, and_, select, update

from store.errors import LeaseLost
from store.records import ACTIVE_STATES, Job, Lease
from store.rows import JOB_COLUMNS, job_from
from store.session import Transaction
from store.tables import jobs


def hold(tx: Transaction, lease: Lease) -> None:
    """Makes sure that ``lease`` is held until the transaction ends, or raises ``LeaseLost``.

    An expired lease that nobody has taken over yet is still held.
    """
    # The row's lock keeps a claim from taking the job over before our transaction has committed.
    held = select(jobs.c.id).where(held_by(lease)).with_for_update(key_share=True)
    if tx.execute(held).one_or_none() is None:
        raise lost(lease)


def write(tx: Transaction, lease: Lease, **values: object) -> Job:
    """Updates the row of the job under this lease, or raises ``LeaseLost``."""
    row = tx.execute(update(jobs).where(held_by(lease)).values(values).returning(*JOB_COLUMNS)).one_or_none()
    if row is None:
        raise lost(lease)
    return job_from(row)


def held_by(lease: Lease) -> ColumnElement[bool]:
    """SQL: this row of ``jobs`` is under this lease."""
    return and_(jobs.c.id == lease.job_id, jobs.c.lease_token == lease.token, jobs.c.state.in_(ACTIVE_STATES))


def lost(lease: Lease) -> LeaseLost:
    """The error to raise when no row is under this lease."""
    return LeaseLost(
        f"the lease of job {lease.job_id} is no longer ours: it expired and was taken over, or the job ended"
    )
