"""Queries for jobs: one job, its state, a page of jobs."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, Text, bindparam, func, or_, select

from store.clock import seconds_since
from store.errors import JobNotFound
from store.job_orders import JobOrder, behind, key_columns, key_types, sorting
from store.paging import key_of, page_of
from store.records import ACTIVE_STATES, Job, JobState, Page
from store.rows import JOB_COLUMNS, job_from
from store.session import Transaction
from store.tables import jobs


@dataclass(frozen=True, slots=True)
class Held:
    """A job that a runner holds."""

    job_id: str
    runner: str
    state: JobState
    stage: str | None
    lease_left_s: float
    """Seconds until the lease expires, by the database's clock; negative if it has."""


def get(tx: Transaction, job_id: str, owner: str | None = None) -> Job:
    """The job; raises ``JobNotFound``, also if ``owner`` is given and the job belongs to another owner."""
    given = _of(job_id=job_id, of_owner=owner)
    row = tx.execute(_one(*given), given).one_or_none()
    if row is None:
        raise JobNotFound(f"there is no job {job_id!r}")
    return job_from(row)


def state_of(tx: Transaction, job_id: str, owner: str | None = None) -> JobState:
    """The state of the job; raises as ``get`` does."""
    given = _of(job_id=job_id, of_owner=owner)
    state = tx.execute(_one_state(*given), given).scalar_one_or_none()
    if state is None:
        raise JobNotFound(f"there is no job {job_id!r}")
    return JobState(state)


def state_and_events(tx: Transaction, job_id: str) -> tuple[JobState, int]:
    """(state, number of the last event) of one moment; 0 if there are no events. Raises ``JobNotFound``."""
    row = tx.execute(_STATE_AND_EVENTS, {"job_id": job_id}).one_or_none()
    if row is None:
        raise JobNotFound(f"there is no job {job_id!r}")
    return JobState(row.state), row.event_count


def held(tx: Transaction) -> tuple[Held, ...]:
    """The jobs that runners hold, the oldest first."""
    return tuple(Held(*row) for row in tx.execute(_HELD))


def list(
    tx: Transaction,
    *,
    state: JobState | None = None,
    owner: str | None = None,
    network: str | None = None,
    text: str | None = None,
    order: JobOrder = JobOrder.NEWEST,
    limit: int = 50,
    page_token: str | None = None,
) -> Page[Job]:
    """A page of jobs.

    Args:
        state: only jobs in this state; None for all.
        owner: only jobs of this owner; None for all.
        network: only jobs whose architecture contains this text, in any case; None for all.
        text: only jobs whose name contains this text, in any case, or whose id begins with it; None for all.
        order: order of the pages. Accuracy and gain are those of the results; jobs without one come last.
        page_token: the ``next_token`` of the page before, of a list in the same order; None for the first page.
    """
    given: dict[str, Any] = _of(in_state=state, of_owner=owner)
    if network is not None:
        given["of_network"] = _containing(network)
    if text is not None:
        given |= {"with_text": _containing(text), "with_id": f"{_escaped(text)}%"}
    filters = tuple(name for name in given if name != "with_id")
    if page_token is not None:
        key = key_of(order.kind, page_token, key_types(order))
        given |= dict(zip(("last_id", "last_value", "last_missing"), reversed(key), strict=False))
    query = _sorted(*filters, order=order, continued=page_token is not None)
    rows = tx.execute(query, given | {"limit": limit + 1}).all()
    page = page_of(order.kind, rows, limit, lambda row: tuple(row[len(JOB_COLUMNS) :]))
    return Page(tuple(job_from(row) for row in page.items), page.next_token)


_FILTERS: dict[str, ColumnElement[bool]] = {
    "job_id": jobs.c.id == bindparam("job_id"),
    "in_state": jobs.c.state == bindparam("in_state"),
    "of_owner": jobs.c.owner == bindparam("of_owner"),
    "of_network": func.lower(jobs.c.spec["model"]["architecture"].as_string()).like(
        bindparam("of_network", type_=Text), escape="/"
    ),
    "with_text": or_(
        func.lower(jobs.c.name).like(bindparam("with_text", type_=Text), escape="/"),
        jobs.c.id.like(bindparam("with_id", type_=Text), escape="/"),
    ),
}


def _containing(text: str) -> str:
    """The pattern of LIKE for texts that contain ``text``."""
    return f"%{_escaped(text.lower())}%"


def _escaped(text: str) -> str:
    """``text`` with an escape before each character that LIKE interprets."""
    return text.replace("/", "//").replace("%", "/%").replace("_", "/_")


def _of(**given: str | None) -> dict[str, str]:
    """The names of the filters that apply, from ``_FILTERS``, with their values."""
    return {name: value for name, value in given.items() if value is not None}


# Frequent statements are built once: building one takes longer than running it.
@cache
def _one(*filters: str) -> Select[Any]:
    return select(*JOB_COLUMNS).where(*(_FILTERS[name] for name in filters))


@cache
def _one_state(*filters: str) -> Select[Any]:
    return select(jobs.c.state).where(*(_FILTERS[name] for name in filters))


_HELD = (
    select(jobs.c.id, jobs.c.worker, jobs.c.state, jobs.c.stage, -seconds_since(jobs.c.lease_expires_at))
    .where(jobs.c.state.in_(ACTIVE_STATES))
    .order_by(jobs.c.id)
)
_STATE_AND_EVENTS = select(jobs.c.state, jobs.c.event_count).where(_FILTERS["job_id"])


@cache
def _sorted(*filters: str, order: JobOrder, continued: bool) -> Select[Any]:
    wanted = _one(*filters).add_columns(*key_columns(order))
    if continued:
        wanted = wanted.where(behind(order))
    return wanted.order_by(*sorting(order)).limit(bindparam("limit", type_=Integer))
