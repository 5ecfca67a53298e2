"""Conversion of rows to records.

Columns are read by position, not by name: pages of jobs and trials are requested often, and a lookup by name is slow.
"""

from typing import Any

from sqlalchemy import Row

from store.records import Job, JobError, JobState, Trial, TrialOutcome, TrialState
from store.tables import jobs, trials

JOB_COLUMNS = tuple(jobs.c[name] for name in Job.__slots__)
_STATE = Job.__slots__.index("state")
_ERROR = Job.__slots__.index("error")

_TRIAL_STATE = Trial.__slots__.index("state")
_OUTCOME = Trial.__slots__.index("outcome")
TRIAL_COLUMNS = tuple(trials.c[name] for name in (*Trial.__slots__, *TrialOutcome.__slots__) if name != "outcome")


def job_from(row: Row[Any]) -> Job:
    """The job from a row that begins with ``JOB_COLUMNS``."""
    values = [*row[: len(JOB_COLUMNS)]]
    values[_STATE] = JobState(values[_STATE])
    if values[_ERROR] is not None:
        values[_ERROR] = JobError(**values[_ERROR])
    return Job(*values)


def trial_from(row: Row[Any]) -> Trial:
    """The trial from a row that begins with ``TRIAL_COLUMNS``."""
    outcome_begins = len(Trial.__slots__) - 1
    values = [*row[:outcome_begins]]
    state = values[_TRIAL_STATE] = TrialState(values[_TRIAL_STATE])
    has_outcome = state in (TrialState.DONE, TrialState.FAILED)
    values.insert(_OUTCOME, TrialOutcome(*row[outcome_begins : len(TRIAL_COLUMNS)]) if has_outcome else None)
    return Trial(*values)
