"""The queue of jobs: submit, claim, renew, release, finish, cancel.

A runner holds a job by a lease that it renews. If the runner stops, the lease expires, and the next claim takes the job
over with a new token. Later writes of the old runner are refused with ``LeaseLost``.
"""

import secrets
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, FromClause, and_, case, func, null, or_, select, update

from store import events
from store.clock import now, seconds_from_now, seconds_since
from store.crash_points import reach
from store.errors import IncompatibleState
from store.ids import new_id
from store.jobs import state_of
from store.leases import write
from store.records import ACTIVE_STATES, Claim, Job, JobError, JobState, Json, Lease, TrialState
from store.rows import JOB_COLUMNS, job_from
from store.session import Transaction
from store.tables import jobs, trials

NO_LEASE = {
    "lease_token": None,
    "worker": None,
    "lease_expires_at": None,
    "cluster": None,
    "cores_awaited": None,
    "jobs_before": None,
}


def submit(
    tx: Transaction,
    spec: Json,
    name: str | None = None,
    *,
    max_attempts: int = 3,
    owner: str | None = None,
    traceparent: str | None = None,
) -> Job:
    """Queue a job.

    Args:
        max_attempts: number of attempts after which the job fails if each of its runners stopped answering.
        owner: owner of the key that submits the job; None without a key.
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


def claim(tx: Transaction, worker: str, lease_s: float, cluster: str | None = None) -> Claim | None:
    """Claim the oldest job that is queued or whose lease has expired; None if there is none.

    Expired jobs that must not run again are ended first: a job that is being cancelled becomes cancelled, and a job
    without attempts left becomes failed.

    Args:
        cluster: address of the Ray cluster that the worker shares with others, in whose queue for cores the job enters
            (``core_queue``); None if the worker has a Ray of its own.
    """
    _end_expired(tx)
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
            cluster=cluster,
            cores_awaited=None if cluster is None else 0,
            jobs_before=None,
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
    """Extend the lease to ``lease_s`` seconds from now; True if the job is to be cancelled."""
    state = write(tx, lease, lease_expires_at=seconds_from_now(lease_s)).state
    return state is JobState.CANCELLING


def release(tx: Transaction, lease: Lease) -> Job:
    """Return the job to the queue, for a runner that shuts down in good order; the attempt does not count.

    A job that is being cancelled becomes cancelled instead.
    """
    cancelling = jobs.c.state == JobState.CANCELLING
    job = write(
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
    """End the job as succeeded (with ``result``), failed (with ``error``) or cancelled."""
    assert state.is_final, state
    assert (state is JobState.FAILED) == (error is not None), f"{state} with error {error}"
    end = {"state": state, "result": result, "error": None if error is None else asdict(error), "finished_at": now()}
    job = write(tx, lease, **end, **_totals(), **NO_LEASE)
    _interrupt_trials(tx, job.id)
    return job


def request_cancel(tx: Transaction, job_id: str, owner: str | None = None) -> Job:
    """Cancel a queued job at once; a running job becomes ``cancelling`` until its runner has stopped. Idempotent.

    Raises:
        IncompatibleState: the job has succeeded, failed or been cancelled.
        JobNotFound: as ``jobs.get`` does.
    """
    queued = jobs.c.state == JobState.QUEUED
    cancelled = (
        update(jobs)
        .where(jobs.c.id == job_id, or_(queued, jobs.c.state.in_(ACTIVE_STATES)))
        .values(
            state=case((queued, JobState.CANCELLED), else_=JobState.CANCELLING),
            finished_at=case((queued, now()), else_=null()),
            **{name: case((queued, total), else_=null()) for name, total in _totals().items()},
        )
        .returning(*JOB_COLUMNS)
    )
    if owner is not None:
        cancelled = cancelled.where(jobs.c.owner == owner)
    row = tx.execute(cancelled).one_or_none()
    if row is None:
        raise IncompatibleState(f"job {job_id} cannot be cancelled: it has already {state_of(tx, job_id, owner)}")
    return job_from(row)


def _end_expired(tx: Transaction) -> None:
    expired = select(*JOB_COLUMNS).where(_expired(jobs), _spent(jobs)).with_for_update(skip_locked=True)
    for job in tuple(job_from(row) for row in tx.execute(expired)):
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
    """New values of the job's faults after a runner was lost; use before its running trials are interrupted."""
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
    """Totals of the job's trials, stored when the job ends so that nothing has to aggregate the trials again."""
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
