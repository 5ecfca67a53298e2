"""Trials of a job and their learning curves."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from api import serializers
from api.conditional import as_json
from api.deps import CallerDep, Limit, PageToken, ServicesDep
from api.problems import problem_responses
from api.schemas import Curve, Page, Trial
from safs.events.kinds import Stage
from store import jobs, records, trials
from store.session import Transaction

MAX_TRIAL_NUMBER = 2**31 - 1

router = APIRouter(prefix="/v1/jobs/{job_id}/trials", tags=["trials"])


@router.get(
    "",
    response_model=Page[Trial],
    summary="List a job's trials",
    responses=problem_responses("invalid_page_token", "job_not_found", "invalid_request"),
)
def list_trials(
    services: ServicesDep,
    caller: CallerDep,
    job_id: str,
    stage: Annotated[Stage | None, Query(description="Only trials of this stage.")] = None,
    limit: Limit = 100,
    page_token: PageToken = None,
) -> Response:
    """Returns a page of trials without their curves, ordered by stage and number."""

    def ask(tx: Transaction) -> records.Page[records.Trial]:
        jobs.state_of(tx, job_id, caller.visible_owner)
        return trials.list(tx, job_id, stage=stage, limit=limit, page_token=page_token)

    page = services.database.query(ask)
    return as_json(serializers.page(map(serializers.trial, page.items), page.next_token))


@router.get(
    "/{stage}/{number}/curve",
    response_model=Curve,
    summary="Get a trial's learning curve",
    responses=problem_responses("job_not_found", "trial_not_found", "invalid_request"),
)
def get_trial_curve(
    services: ServicesDep,
    caller: CallerDep,
    job_id: str,
    stage: Stage,
    number: Annotated[int, Path(ge=0, le=MAX_TRIAL_NUMBER)],
) -> Response:
    """Returns the metrics of each epoch. Trials are numbered within their stage, from 0."""

    def ask(tx: Transaction) -> tuple[records.CurvePoint, ...]:
        jobs.state_of(tx, job_id, caller.visible_owner)
        return trials.curve(tx, job_id, stage, number)

    return as_json(serializers.curve(stage, number, services.database.query(ask)))
