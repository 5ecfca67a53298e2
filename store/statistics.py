"""Statistics for operators, from a fixed number of statements.

A job that has ended stores the totals of its trials, so only the trials of jobs in progress are aggregated. The totals
of deleted jobs are in ``counters``, under the names in ``TOTALS``.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select

from store import counters
from store.clock import now, seconds_since
from store.counters import LEASE_LOSSES
from store.records import ACTIVE_STATES, FINAL_STATES, JobState
from store.session import Transaction
from store.tables import artifacts, jobs, trials

TOTALS = (
    "trial_count",
    "trial_seconds",
    "gpu_seconds",
    "runners_lost",
    "workers_lost",
    "trials_repeated",
    "seconds_lost",
)
"""Columns of ``jobs`` whose values are added to the counters of the same names when a job is deleted."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """The state of the service at one moment, and its totals since the first job."""

    jobs: dict[JobState, int]
    """Number of jobs in each state; every state is a key."""
    ended: dict[JobState, int]
    """Number of jobs that ever reached each final state, including deleted ones."""
    oldest_queued_s: float
    """Seconds since the submission of the job that is claimed next; 0 if none is queued."""
    late_leases: int
    """Number of jobs with an expired lease that no runner has claimed yet."""
    lease_losses: int
    """Number of times that a runner found its lease lost."""
    totals: dict[str, float]
    """Totals by the names in ``TOTALS``, without trials that are still running."""
    artifacts: int
    artifacts_bytes: int


def read(tx: Transaction) -> Statistics:
    """The current statistics, from six statements."""
    by_state = {JobState(row["state"]): row for row in tx.execute(_JOBS).mappings()}
    counted = counters.read(tx)
    rows = [*by_state.values(), tx.execute(_IN_PROGRESS).mappings().one()]
    sources = [counted, *({name: row[name] for name in TOTALS if name in row} for row in rows)]
    files, files_bytes = tx.execute(_FILES).one()
    jobs_now = {state: by_state[state]["jobs"] if state in by_state else 0 for state in JobState}
    return Statistics(
        jobs=jobs_now,
        ended={state: jobs_now[state] + int(counted.get(f"jobs_{state}", 0)) for state in FINAL_STATES},
        oldest_queued_s=max(tx.execute(_OLDEST).scalar_one_or_none() or 0.0, 0.0),
        late_leases=tx.execute(_LATE).scalar_one(),
        lease_losses=int(counted.get(LEASE_LOSSES, 0)),
        totals={name: float(sum(source.get(name, 0) for source in sources)) for name in TOTALS},
        artifacts=files,
        artifacts_bytes=int(files_bytes),
    )


def _sum(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.coalesce(func.sum(column), 0)


_JOBS = select(jobs.c.state, func.count().label("jobs"), *(_sum(jobs.c[name]).label(name) for name in TOTALS)).group_by(
    jobs.c.state
)
# Ids sort by the time of their creation.
_OLDEST = select(seconds_since(jobs.c.created_at)).where(jobs.c.state == JobState.QUEUED).order_by(jobs.c.id).limit(1)
_LATE = select(func.count()).where(jobs.c.state.in_(ACTIVE_STATES), jobs.c.lease_expires_at <= now())
_IN_PROGRESS = select(
    func.count().label("trial_count"),
    _sum(trials.c.seconds).label("trial_seconds"),
    _sum(trials.c.seconds * func.coalesce(jobs.c.gpus_per_trial, 0.0)).label("gpu_seconds"),
).where(
    trials.c.job_id == jobs.c.id,
    jobs.c.state.in_([state for state in JobState if state not in FINAL_STATES]),
    jobs.c.started_at.is_not(None),
    trials.c.recalled.is_(None),
    trials.c.seconds.is_not(None),
)
_FILES = select(func.count(), _sum(artifacts.c.size_bytes)).select_from(artifacts)
