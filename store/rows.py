"""From rows of the tables to the records that callers see."""

from sqlalchemy import RowMapping

from store.records import Job, JobError, JobState, Json, Trial, TrialOutcome, TrialState
from store.tables import jobs

JOB_COLUMNS = tuple(jobs.c[name] for name in Job.__slots__)


def job_from(row: RowMapping) -> Job:
    """The job of a row that has ``JOB_COLUMNS``, and maybe more."""
    given = dict(row)  # One by one, a row looks up its columns slowly: lists of jobs are asked for all the time.
    values = {name: given[name] for name in Job.__slots__}
    values["state"] = JobState(given["state"])
    if given["error"] is not None:
        values["error"] = JobError(**given["error"])
    return Job(**values)


def trial_from(row: RowMapping) -> Trial:
    """The trial of a whole row of ``trials``."""
    given = dict(row)
    state = TrialState(given["state"])
    has_outcome = state in (TrialState.DONE, TrialState.FAILED)
    outcome = TrialOutcome(**{name: given[name] for name in TrialOutcome.__slots__}) if has_outcome else None
    known: Json = {name: given.get(name) for name in Trial.__slots__}
    return Trial(**known | {"state": state, "outcome": outcome})
