"""Pages of a job's trials: as they ran, or the best first."""

from functools import cache
from typing import Any

from sqlalchemy import (
    CompoundSelect,
    Double,
    Integer,
    Select,
    Text,
    bindparam,
    func,
    literal_column,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.types import TypeEngine

from store.errors import InvalidPageToken
from store.paging import Key, key_of, page_of
from store.records import Json, Page, Trial, TrialState
from store.rows import TRIAL_COLUMNS, trial_from
from store.session import Transaction
from store.tables import trials

STAGES: tuple[str, ...] = (
    "dense",
    "prune_search",
    "prune",
    "activations",
    "tune",
    "tune_alone",
    "joint",
    "final",
    "front",
    "report",
)
"""The stages of a job in the order in which they run: the values of ``safs.events.kinds.Stage``."""

_RAN, _BEST = "trials", "best_trials"
_NONE = 1e300
"""Stands for a missing loss or cross-entropy in the order of trials."""
_LAST: dict[str, type[TypeEngine[Any]]] = {
    "last_loss": Double,
    "last_cross_entropy": Double,
    "last_stage": Text,
    "last_number": Integer,
}
"""Parameters that hold the key of the last trial of the page before, with their types."""


def list(
    tx: Transaction,
    job_id: str,
    *,
    stage: str | None = None,
    state: TrialState | None = None,
    best_first: bool = False,
    limit: int = 50,
    page_token: str | None = None,
) -> Page[Trial]:
    """A page of a job's trials.

    Args:
        stage: only trials of this stage; None for all.
        state: only trials in this state; None for all.
        best_first: order by loss, then by cross-entropy, with trials without a loss last. Otherwise the trials are in
            the order in which they ran: by stage, in the order of ``STAGES``, and by number.
        page_token: the ``next_token`` of the page before, in the same order; None for the first page.
    """
    given: Json = {"job_id": job_id, "limit": limit + 1}
    if state is not None:
        given["state"] = state
    query = (_best_page if best_first else _page)(given, stage, page_token)
    found = [trial_from(row) for row in tx.execute(query, given).all()]
    return page_of(_BEST, found, limit, _best_key) if best_first else page_of(_RAN, found, limit, _ran_key)


def _ran_key(trial: Trial) -> Key:
    return trial.stage, trial.number


def _page(given: Json, stage: str | None, page_token: str | None) -> Select[Any] | CompoundSelect[Any]:
    """The statement of a page of trials as they ran; adds its parameters to ``given``."""
    stages = STAGES if stage is None else (stage,)
    if page_token is not None:
        last, given["last_number"] = key_of(_RAN, page_token, (str, int))
        if last not in stages:
            raise InvalidPageToken(f"the page token is of the stage {last!r}, which this list does not have")
        stages = stages[stages.index(str(last)) :]
    return _stages_query(stages, of_state="state" in given, after=page_token is not None)


@cache
def _stages_query(stages: tuple[str, ...], *, of_state: bool, after: bool) -> CompoundSelect[Any]:
    """The first trials of each stage, by the primary key's index, put one after the other.

    Sorting all trials of a job by the rank of their stage would read each of them for every page.
    """
    limit = bindparam("limit", type_=Integer)
    parts = []
    for rank, stage in enumerate(stages):
        part = select(*TRIAL_COLUMNS, literal_column(str(rank), Integer).label("rank")).where(
            trials.c.job_id == bindparam("job_id"), trials.c.stage == stage
        )
        if of_state:
            part = part.where(trials.c.state == bindparam("state"))
        if after and rank == 0:
            part = part.where(trials.c.number > bindparam("last_number"))
        parts.append(select(part.order_by(trials.c.number).limit(limit).subquery()))
    query = union_all(*parts)
    return query.order_by(query.selected_columns.rank, query.selected_columns.number).limit(limit)


def _best_key(trial: Trial) -> Key:
    outcome = trial.outcome
    loss, cross_entropy = (None, None) if outcome is None else (outcome.loss, outcome.cross_entropy)
    return (
        _NONE if loss is None else loss,
        _NONE if cross_entropy is None else cross_entropy,
        trial.stage,
        trial.number,
    )


def _best_page(given: Json, stage: str | None, page_token: str | None) -> Select[Any]:
    """The statement of a page of trials with the best first; adds its parameters to ``given``."""
    if stage is not None:
        given["stage"] = stage
    if page_token is not None:
        last = key_of(_BEST, page_token, (float, float, str, int))
        given |= dict(zip(_LAST, last, strict=True))
    return _best_query(of_stage=stage is not None, of_state="state" in given, after=page_token is not None)


@cache
def _best_query(*, of_stage: bool, of_state: bool, after: bool) -> Select[Any]:
    query = select(*TRIAL_COLUMNS).where(trials.c.job_id == bindparam("job_id"))
    if of_stage:
        query = query.where(trials.c.stage == bindparam("stage"))
    if of_state:
        query = query.where(trials.c.state == bindparam("state"))
    columns = trials.c
    key = (
        func.coalesce(columns.loss, _NONE),
        func.coalesce(columns.cross_entropy, _NONE),
        columns.stage,
        columns.number,
    )
    if after:
        last = tuple_(*(bindparam(name, type_=kind) for name, kind in _LAST.items()))
        query = query.where(tuple_(*key) > last)
    return query.order_by(*key).limit(bindparam("limit", type_=Integer))
