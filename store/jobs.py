"""Jobs as readers find them: one, its state, a page of them."""

from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, bindparam, select

from store.errors import JobNotFound
from store.paging import key_of, page_of
from store.records import Job, JobState, Page
from store.rows import JOB_COLUMNS, job_from
from store.session import Transaction
from store.tables import jobs


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


def state_and_events(tx: Transaction, job_id: str) -> tuple[JobState, int]:
    """The state, and the number of the last event (0 before the first), of one moment; or ``JobNotFound``."""
    row = tx.execute(_STATE_AND_EVENTS, {"job_id": job_id}).one_or_none()
    if row is None:
        raise JobNotFound(f"there is no job {job_id!r}")
    return JobState(row.state), row.event_count


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


_STATE_AND_EVENTS = select(jobs.c.state, jobs.c.event_count).where(_FILTERS["job_id"])


@cache
def _newest(*filters: str) -> Select[Any]:
    return _one(*filters).order_by(jobs.c.id.desc()).limit(bindparam("limit", type_=Integer))
