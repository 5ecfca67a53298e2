"""Writes of a runner to the row of the job that it holds: progress, values pinned for later attempts, faults.

Every function raises ``LeaseLost`` if the runner no longer holds the job.
"""

from sqlalchemy import delete, func, select, update

from store.leases import held_by, hold, lost, write
from store.records import Json, Lease
from store.session import Transaction
from store.tables import jobs, trials


def set_stage(tx: Transaction, lease: Lease, stage: str, progress: Json | None = None) -> None:
    """Set the job's stage, and its progress in that stage."""
    write(tx, lease, stage=stage, progress=progress)


def set_progress(tx: Transaction, lease: Lease, progress: Json) -> None:
    """Replace the progress of the stage."""
    write(tx, lease, progress=progress)


def pin_in_flight(tx: Transaction, lease: Lease, slots: int) -> int:
    """The number of trials in flight of the job: ``slots`` in the first attempt, and the same in all later ones.

    The proposals of a search depend on it, so it does not change when another machine resumes the job.
    """
    pinned = update(jobs).where(held_by(lease)).values(in_flight=func.coalesce(jobs.c.in_flight, slots))
    found = tx.execute(pinned.returning(jobs.c.in_flight)).scalar_one_or_none()
    if found is None:
        raise lost(lease)
    return int(found)


def pin_program(tx: Transaction, lease: Lease, version: str) -> bool:
    """Record the version of the program that runs the job; True if an earlier attempt ran with another version.

    In that case the trials of the earlier attempts are deleted, since this version may compute other numbers.
    """
    hold(tx, lease)
    before = tx.execute(select(jobs.c.program).where(jobs.c.id == lease.job_id)).scalar_one()
    tx.execute(update(jobs).where(jobs.c.id == lease.job_id).values(program=version))
    if before in (None, version):
        return False
    tx.execute(delete(trials).where(trials.c.job_id == lease.job_id))
    return True


def pin_gpus(tx: Transaction, lease: Lease, gpus_per_trial: float) -> None:
    """Record the share of a GPU that each trial of the job holds, from which its GPU-hours are computed."""
    write(tx, lease, gpus_per_trial=gpus_per_trial)


def begin_batch(tx: Transaction, lease: Lease, number: int) -> bool:
    """Mark batch ``number`` (1, 2, ...) of this attempt as written; False if it was already.

    After a connection is lost during a commit, the runner does not know whether the commit happened. The retry calls
    this first, and writes the batch only if the result is True.
    """
    begun = update(jobs).where(held_by(lease), jobs.c.recorded_batch < number).values(recorded_batch=number)
    if tx.execute(begun.returning(jobs.c.id)).one_or_none() is not None:
        return True
    hold(tx, lease)
    return False


def note_lost_worker(tx: Transaction, lease: Lease, trials_repeated: int, seconds_lost: float) -> None:
    """Add one lost Ray worker to the job's faults."""
    write(
        tx,
        lease,
        workers_lost=jobs.c.workers_lost + 1,
        trials_repeated=jobs.c.trials_repeated + trials_repeated,
        seconds_lost=jobs.c.seconds_lost + seconds_lost,
    )


def note_reuse(tx: Transaction, lease: Lease, stage: str, from_job: str) -> None:
    """Record that the job reuses an output of ``from_job`` in this stage."""
    hold(tx, lease)
    reused: Json = tx.execute(select(jobs.c.reused).where(jobs.c.id == lease.job_id)).scalar_one() or {}
    makers = reused.get(stage, [])
    if from_job not in makers:
        write(tx, lease, reused={**reused, stage: [*makers, from_job]})
