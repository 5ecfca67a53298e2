"""Trials of a job and their learning curves."""

from enum import StrEnum
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Path, Query, Request, Response

from api import serializers, trial_tables
from api.conditional import as_json, versioned, versioned_json
from api.deps import CallerDep, Limit, PageToken, Services, ServicesDep
from api.gate.access import Caller
from api.problems import problem_responses
from api.schemas.trials import Curve, TrialColumns, TrialPage
from safs.events.kinds import Stage
from store import jobs, records, trial_columns, trial_pages, trials
from store.records import Json, TrialState
from store.session import Transaction

MAX_TRIAL_NUMBER = 2**31 - 1
CSV = "text/csv"


class TrialOrder(StrEnum):
    """Order of a list of trials."""

    RAN = "ran"
    BEST = "best"


StageFilter = Annotated[Stage | None, Query(description="Return only trials of this stage.")]
_VERSIONED: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {"ETag": {"description": "Version of the trials, for If-None-Match.", "schema": {"type": "string"}}}
    },
    304: {"description": "If-None-Match names the current version."},
}

router = APIRouter(prefix="/v1/jobs/{job_id}/trials", tags=["trials"])
csv_router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["trials"])


@router.get(
    "",
    response_model=TrialPage,
    summary="List a job's trials",
    responses=problem_responses("invalid_page_token", "job_not_found", "invalid_request"),
)
def list_trials(
    services: ServicesDep,
    caller: CallerDep,
    job_id: str,
    stage: StageFilter = None,
    state: Annotated[TrialState | None, Query(description="Return only trials in this state.")] = None,
    order: Annotated[
        TrialOrder,
        Query(
            description="`ran`: as they ran, by stage and number. `best`: by loss, then by cross-entropy, with trials "
            "without a loss last."
        ),
    ] = TrialOrder.RAN,
    limit: Limit = 100,
    page_token: PageToken = None,
) -> Response:
    """Returns a page of trials without their curves. A page token belongs to one `order`."""

    def ask(tx: Transaction) -> records.Page[records.Trial]:
        jobs.state_of(tx, job_id, caller.visible_owner)
        return trial_pages.list(
            tx,
            job_id,
            stage=stage,
            state=state,
            best_first=order is TrialOrder.BEST,
            limit=limit,
            page_token=page_token,
        )

    page = services.database.query(ask)
    items = (serializers.trial(trial, services.settings.root_path) for trial in page.items)
    return as_json(serializers.page(items, page.next_token))


@router.get(
    "/columns",
    response_model=TrialColumns,
    summary="Get all trials of a job as columns",
    responses={**_VERSIONED, **problem_responses("job_not_found", "invalid_request")},
)
async def get_trial_columns(
    services: ServicesDep, caller: CallerDep, request: Request, job_id: str, stage: StageFilter = None
) -> Response:
    """Returns all trials in one compact response, for charts and tables: lists of equal length, one value for each
    trial in the order in which they ran. Texts that repeat are numbers into a list, times are seconds."""

    def answer() -> Response:
        return versioned_json(request, trial_tables.compact(_columns(services, caller, job_id, stage)), {})

    return await to_thread.run_sync(answer, limiter=services.slow_threads)


@csv_router.get(
    "/trials.csv",
    response_class=Response,
    summary="Get all trials of a job as CSV",
    responses={
        **_VERSIONED,
        200: {**_VERSIONED[200], "content": {CSV: {"schema": {"type": "string"}}}, "description": "The table."},
        **problem_responses("job_not_found", "invalid_request"),
    },
)
async def get_trials_csv(
    services: ServicesDep, caller: CallerDep, request: Request, job_id: str, stage: StageFilter = None
) -> Response:
    """Returns a table with a row for each trial in the order in which they ran, and a column for each site
    (`operator:` and its name) and each hyperparameter. Missing values are empty."""

    def answer() -> Response:
        text = trial_tables.as_csv(_columns(services, caller, job_id, stage))
        headers = {"Content-Disposition": f'attachment; filename="{job_id}-trials.csv"'}
        return versioned(request, text.encode(), CSV, headers)

    return await to_thread.run_sync(answer, limiter=services.slow_threads)


def _columns(services: Services, caller: Caller, job_id: str, stage: Stage | None) -> Json:
    def ask(tx: Transaction) -> Json:
        jobs.state_of(tx, job_id, caller.visible_owner)
        return trial_columns.read(tx, job_id, stage=stage)

    return services.database.query(ask)


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
