"""The queue of jobs: submit, claim, renew, finish, cancel.

A runner holds a job by a lease that it renews. When it stops answering the lease expires, and the next claim takes the
job over under a new token; whatever the old runner still writes is refused with ``LeaseLost``.
"""

import secrets
from dataclasses import asdict
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Select,
    and_,
    bindparam,
    case,
    delete,
    func,
    null,
    or_,
    select,
    update,
)

from store import events
from store.clock import now, seconds_from_now, seconds_since
from store.crash_points import reach
from store.errors import IncompatibleState, JobNotFound
from store.ids import new_id
from store.leases import held_by, hold, lost
from store.paging import key_of, page_of
from store.records import ACTIVE_STATES, Claim, Job, JobError, JobState, Json, Lease, Page, TrialState
from store.rows import JOB_COLUMNS, job_from
from store.session import Transaction
from store.tables import jobs, trials

NO_LEASE = {"lease_token": None, "worker": None, "lease_expires_at": None}


def submit(
    tx: Transaction,
    spec: Json,
    name: str | None = None,
    *,
    max_attempts: int = 3,
    owner: str | None = None,
    traceparent: str | None = None,
) -> Job:
    """Queues a job.

    Args:
        max_attempts: runners that may stop answering in the middle of it before it is given up.
        owner: whose it is; None without a key.
        traceparent: W3C trace context of the request.
    """
    values = {
        "id": new_id("job"),
        "name": name,
        "spec": spec,
        "state": JobState.QUEUED,
        "attempt": 0,
        "max_attempts": max_attempts,
        "event_count": 0,
        "owner": owner,
        "traceparent": traceparent,
    }
    return job_from(tx.execute(jobs.insert().values(values).returning(*JOB_COLUMNS)).one())


def claim(tx: Transaction, worker: str, lease_s: float) -> Claim | None:
    """Takes the oldest job that is queued or whose lease has expired; None if there is none.

    Expired jobs that must not run again are settled first: those being cancelled are cancelled, those whose attempts
    are used up have failed.
    """
    _settle_expired(tx)
    oldest = (
        select(*JOB_COLUMNS)
        .where(or_(jobs.c.state == JobState.QUEUED, and_(_expired(jobs), ~_spent(jobs))))
        .order_by(jobs.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = tx.execute(oldest).one_or_none()
    if row is None:
        return None
    before = job_from(row)
    taken_over = before.state in ACTIVE_STATES
    taken = (
        update(jobs)
        .where(jobs.c.id == before.id)
        .values(
            state=JobState.RUNNING,
            attempt=jobs.c.attempt + 1,
            stage=None,
            progress=None,
            lease_token=secrets.token_hex(16),
            worker=worker,
            lease_expires_at=seconds_from_now(lease_s),
            started_at=func.coalesce(jobs.c.started_at, now()),
            claimed_at=now(),
            recorded_batch=0,
            **(_losses() if taken_over else {}),
        )
        .returning(*JOB_COLUMNS, jobs.c.lease_token, jobs.c.lease_expires_at)
    )
    row = tx.execute(taken).one()
    job = job_from(row)
    if taken_over:
        _interrupt_trials(tx, job.id)
        _note(
            tx,
            job.id,
            f"the runner {before.worker!r} stopped answering; the runner {worker!r} begins attempt {job.attempt} of "
            f"{job.max_attempts}",
        )
    return Claim(job, Lease(job.id, row.lease_token, row.lease_expires_at))


def renew(tx: Transaction, lease: Lease, lease_s: float) -> bool:
    """Moves the lease's end to ``lease_s`` from now; returns whether the job is to be cancelled."""
    state = _write(tx, lease, lease_expires_at=seconds_from_now(lease_s)).state
    return state is JobState.CANCELLING


def set_stage(tx: Transaction, lease: Lease, stage: str, progress: Json | None = None) -> None:
    """Notes which stage the job is in, and begins its progress anew."""
    _write(tx, lease, stage=stage, progress=progress)


def set_progress(tx: Transaction, lease: Lease, progress: Json) -> None:
    """Replaces the stage's progress."""
    _write(tx, lease, progress=progress)


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
    _write(tx, lease, gpus_per_trial=gpus_per_trial)


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
    _write(
        tx,
        lease,
        workers_lost=jobs.c.workers_lost + 1,
        trials_repeated=jobs.c.trials_repeated + trials_repeated,
        seconds_lost=jobs.c.seconds_lost + seconds_lost,
    )


def note_reuse(tx: Transaction, lease: Lease, stage: str, from_job: str) -> None:
    """Notes that something of this stage was not made by this job but taken over from ``from_job``."""
    hold(tx, lease)
    reused = get(tx, lease.job_id).reused or {}
    makers = reused.get(stage, [])
    if from_job not in makers:
        _write(tx, lease, reused={**reused, stage: [*makers, from_job]})


def release(tx: Transaction, lease: Lease) -> Job:
    """Hands the job back at once, for a runner that shuts down in good order; this attempt does not count.

    A job that is being cancelled is cancelled instead.
    """
    cancelling = jobs.c.state == JobState.CANCELLING
    job = _write(
        tx,
        lease,
        state=case((cancelling, JobState.CANCELLED), else_=JobState.QUEUED),
        finished_at=case((cancelling, now()), else_=null()),
        attempt=jobs.c.attempt - 1,
        **{name: case((cancelling, total), else_=null()) for name, total in _totals().items()},
        **NO_LEASE,
    )
    _interrupt_trials(tx, job.id)
    reach("release.before_commit")
    return job


def finish(
    tx: Transaction, lease: Lease, state: JobState, *, result: Json | None = None, error: JobError | None = None
) -> Job:
    """Ends the job: succeeded (with ``result``), failed (with ``error``) or cancelled."""
    assert state.is_final, state
    assert (state is JobState.FAILED) == (error is not None), f"{state} with error {error}"
    told = None if error is None else asdict(error)
    job = _write(tx, lease, state=state, result=result, error=told, finished_at=now(), **_totals(), **NO_LEASE)
    _interrupt_trials(tx, job.id)
    return job


def request_cancel(tx: Transaction, job_id: str, owner: str | None = None) -> Job:
    """Cancels a queued job at once; a running one is cancelling until its runner has stopped.

    Raises ``IncompatibleState`` if it has finished, ``JobNotFound`` as ``get`` does. Asking twice changes nothing.
    """
    queued = jobs.c.state == JobState.QUEUED
    given = _of(job_id=job_id, of_owner=owner)
    cancelled = (
        update(jobs)
        .where(*(_FILTERS[name] for name in given), or_(queued, jobs.c.state.in_(ACTIVE_STATES)))
        .values(
            state=case((queued, JobState.CANCELLED), else_=JobState.CANCELLING),
            finished_at=case((queued, now()), else_=null()),
            **{name: case((queued, total), else_=null()) for name, total in _totals().items()},
        )
        .returning(*JOB_COLUMNS)
    )
    row = tx.execute(cancelled, given).one_or_none()
    if row is None:
        raise IncompatibleState(f"job {job_id} cannot be cancelled: it has already {state_of(tx, job_id, owner)}")
    return job_from(row)


def get(tx: Transaction, job_id: str, owner: str | None = None) -> Job:
    """The job, or ``JobNotFound``; with ``owner`` also where it is somebody else's."""
    given = _of(job_id=job_id, of_owner=owner)
    row = tx.execute(_one(*given), given).one_or_none()
    if row is None:
        raise JobNotFound(f"there is no job {job_id!r}")
    return job_from(row)


def state_of(tx: Transaction, job_id: str, owner: str | None = None) -> JobState:
    """The state alone of what ``get`` finds: for those who want something that belongs to the job."""
    given = _of(job_id=job_id, of_owner=owner)
    state = tx.execute(_one_state(*given), given).scalar_one_or_none()
    if state is None:
        raise JobNotFound(f"there is no job {job_id!r}")
    return JobState(state)


def list(
    tx: Transaction,
    *,
    state: JobState | None = None,
    owner: str | None = None,
    limit: int = 50,
    page_token: str | None = None,
) -> Page[Job]:
    """A page of jobs, the newest first; of one owner, or of all."""
    before = None if page_token is None else str(key_of("jobs", page_token, (str,))[0])
    given = _of(in_state=state, of_owner=owner, before=before)
    found = [job_from(row) for row in tx.execute(_newest(*given), given | {"limit": limit + 1}).all()]
    return page_of("jobs", found, limit, lambda job: (job.id,))


_FILTERS: dict[str, ColumnElement[bool]] = {
    "job_id": jobs.c.id == bindparam("job_id"),
    "in_state": jobs.c.state == bindparam("in_state"),
    "of_owner": jobs.c.owner == bindparam("of_owner"),
    "before": jobs.c.id < bindparam("before"),
}


def _of(**given: str | None) -> dict[str, str]:
    """Those of ``_FILTERS`` that are wanted, with their values."""
    return {name: value for name, value in given.items() if value is not None}


# Statements that readers send all the time are kept: building one takes longer than answering it.
@cache
def _one(*filters: str) -> Select[Any]:
    return select(*JOB_COLUMNS).where(*(_FILTERS[name] for name in filters))


@cache
def _one_state(*filters: str) -> Select[Any]:
    return select(jobs.c.state).where(*(_FILTERS[name] for name in filters))


@cache
def _newest(*filters: str) -> Select[Any]:
    return _one(*filters).order_by(jobs.c.id.desc()).limit(bindparam("limit", type_=Integer))


def _write(tx: Transaction, lease: Lease, **values: object) -> Job:
    """Updates the job under this lease, or raises ``LeaseLost``."""
    row = tx.execute(update(jobs).where(held_by(lease)).values(values).returning(*JOB_COLUMNS)).one_or_none()
    if row is None:
        raise lost(lease)
    return job_from(row)


def _settle_expired(tx: Transaction) -> None:
    dead = select(*JOB_COLUMNS).where(_expired(jobs), _spent(jobs)).with_for_update(skip_locked=True)
    for job in tuple(job_from(row) for row in tx.execute(dead)):
        message = f"the runner {job.worker!r} stopped answering in attempt {job.attempt} of {job.max_attempts}"
        if job.state is JobState.CANCELLING:
            end: Json = {"state": JobState.CANCELLED}
        else:
            error = JobError("attempts_used_up", f"{message}, the last one", job.stage)
            end = {"state": JobState.FAILED, "error": asdict(error)}
        end |= {"finished_at": now(), **_losses(), **_totals(), **NO_LEASE}
        tx.execute(update(jobs).where(jobs.c.id == job.id).values(end))
        _interrupt_trials(tx, job.id)
        _note(tx, job.id, message)


def _losses() -> dict[str, ColumnElement[Any]]:
    """What a take-over adds to the job's faults; to be taken before its running trials are interrupted."""
    of_job = trials.c.job_id == jobs.c.id
    running = select(func.count()).where(of_job, trials.c.state == TrialState.RUNNING).scalar_subquery()
    ended = (TrialState.DONE, TrialState.FAILED)
    last = select(func.max(trials.c.finished_at)).where(of_job, trials.c.state.in_(ended)).scalar_subquery()
    last_good = case((last > jobs.c.claimed_at, last), else_=func.coalesce(jobs.c.claimed_at, jobs.c.started_at))
    return {
        "runners_lost": jobs.c.runners_lost + 1,
        "trials_repeated": jobs.c.trials_repeated + running,
        "seconds_lost": jobs.c.seconds_lost + seconds_since(last_good),
    }


def _totals() -> dict[str, ColumnElement[Any]]:
    """What a job notes of its trials when it ends, so that nobody has to add them up again."""
    run_here = (trials.c.job_id == jobs.c.id) & trials.c.recalled.is_(None) & trials.c.seconds.is_not(None)
    seconds = select(func.coalesce(func.sum(trials.c.seconds), 0.0)).where(run_here).scalar_subquery()
    return {
        "trial_count": select(func.count()).where(run_here).scalar_subquery(),
        "trial_seconds": seconds,
        "gpu_seconds": seconds * func.coalesce(jobs.c.gpus_per_trial, 0.0),
    }


def _expired(job: FromClause) -> ColumnElement[bool]:
    return and_(job.c.state.in_(ACTIVE_STATES), job.c.lease_expires_at <= now())


def _spent(job: FromClause) -> ColumnElement[bool]:
    return or_(job.c.state == JobState.CANCELLING, job.c.attempt >= job.c.max_attempts)


def _interrupt_trials(tx: Transaction, job_id: str) -> None:
    running = (trials.c.job_id == job_id) & (trials.c.state == TrialState.RUNNING)
    tx.execute(update(trials).where(running).values(state=TrialState.INTERRUPTED, finished_at=now()))


def _note(tx: Transaction, job_id: str, message: str) -> None:
    events.announce(tx, job_id, "note", {"message": message, "level": "warning"})
