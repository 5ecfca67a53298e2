"""What a runner writes to the row of the job that it holds: how far it is, what later attempts must keep to, faults.

Every function raises ``LeaseLost`` where the job is no longer the runner's.
"""

from sqlalchemy import delete, func, select, update

from store.leases import held_by, hold, lost, write
from store.records import Json, Lease
from store.session import Transaction
from store.tables import jobs, trials


def set_stage(tx: Transaction, lease: Lease, stage: str, progress: Json | None = None) -> None:
    """Notes which stage the job is in, and begins its progress anew."""
    write(tx, lease, stage=stage, progress=progress)


def set_progress(tx: Transaction, lease: Lease, progress: Json) -> None:
    """Replaces the stage's progress."""
    write(tx, lease, progress=progress)


def pin_in_flight(tx: Transaction, lease: Lease, slots: int) -> int:
    """How many trials the job keeps in flight: what its first attempt said here, ``slots`` if this is the first.

    What a search proposes depends on it, so it stays when another machine goes on with the job.
    """
    pinned = update(jobs).where(held_by(lease)).values(in_flight=func.coalesce(jobs.c.in_flight, slots))
    found = tx.execute(pinned.returning(jobs.c.in_flight)).scalar_one_or_none()
    if found is None:
        raise lost(lease)
    return int(found)


def pin_program(tx: Transaction, lease: Lease, version: str) -> bool:
    """Notes which version of the program runs the job; returns whether an earlier attempt ran another.

    Then the trials of that attempt are removed: this program would not have made the same.
    """
    hold(tx, lease)
    before = tx.execute(select(jobs.c.program).where(jobs.c.id == lease.job_id)).scalar_one()
    tx.execute(update(jobs).where(jobs.c.id == lease.job_id).values(program=version))
    if before in (None, version):
        return False
    tx.execute(delete(trials).where(trials.c.job_id == lease.job_id))
    return True


def pin_gpus(tx: Transaction, lease: Lease, gpus_per_trial: float) -> None:
    """Notes how much of a GPU each trial of the job holds, for its GPU-hours."""
    write(tx, lease, gpus_per_trial=gpus_per_trial)


def begin_batch(tx: Transaction, lease: Lease, number: int) -> bool:
    """Whether batch ``number`` of this attempt (1, 2, ...) is still to be written; then it counts as written.

    Who was cut off in a commit cannot tell whether it happened: the second try learns it here.
    """
    begun = update(jobs).where(held_by(lease), jobs.c.recorded_batch < number).values(recorded_batch=number)
    if tx.execute(begun.returning(jobs.c.id)).one_or_none() is not None:
        return True
    hold(tx, lease)
    return False


def note_lost_worker(tx: Transaction, lease: Lease, trials_repeated: int, seconds_lost: float) -> None:
    """Adds to the job's faults a worker that was lost while its runner went on."""
    write(
        tx,
        lease,
        workers_lost=jobs.c.workers_lost + 1,
        trials_repeated=jobs.c.trials_repeated + trials_repeated,
        seconds_lost=jobs.c.seconds_lost + seconds_lost,
    )


def note_reuse(tx: Transaction, lease: Lease, stage: str, from_job: str) -> None:
    """Notes that something of this stage was not made by this job but taken over from ``from_job``."""
    hold(tx, lease)
    reused: Json = tx.execute(select(jobs.c.reused).where(jobs.c.id == lease.job_id)).scalar_one() or {}
    makers = reused.get(stage, [])
    if from_job not in makers:
        write(tx, lease, reused={**reused, stage: [*makers, from_job]})
