"""From rows of the tables to the records that callers see."""

from sqlalchemy import RowMapping

from store.records import Job, JobError, JobState, Trial, TrialOutcome, TrialState
from store.tables import jobs

JOB_COLUMNS = tuple(jobs.c[name] for name in Job.__slots__)


def job_from(row: RowMapping) -> Job:
    """The job of a row that has ``JOB_COLUMNS``, and maybe more."""
    values = {name: row[name] for name in Job.__slots__}
    error = None if row["error"] is None else JobError(**row["error"])
    return Job(**values | {"state": JobState(row["state"]), "error": error})


def trial_from(row: RowMapping) -> Trial:
    """The trial of a whole row of ``trials``."""
    state = TrialState(row["state"])
    has_outcome = state in (TrialState.DONE, TrialState.FAILED)
    outcome = TrialOutcome(**{name: row[name] for name in TrialOutcome.__slots__}) if has_outcome else None
    known = {name: row[name] for name in Trial.__slots__ if name not in ("state", "outcome")}
    return Trial(**known, state=state, outcome=outcome)
