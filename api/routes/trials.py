"""The trials of a job and their curves."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from api import answers
from api.conditional import as_json
from api.deps import Limit, PageToken, Use, Who
from api.problems import problem_responses
from api.schemas import CurveView, Page, TrialView
from safs.events.kinds import Stage
from store import jobs, records, trials
from store.session import Transaction

MOST_TRIALS = 2**31 - 1

router = APIRouter(prefix="/v1/jobs/{job_id}/trials", tags=["trials"])


@router.get(
    "",
    response_model=Page[TrialView],
    summary="List a job's trials",
    responses=problem_responses("invalid_page_token", "job_not_found", "invalid_request"),
)
def list_trials(
    use: Use,
    who: Who,
    job_id: str,
    stage: Annotated[Stage | None, Query(description="Only trials of this stage.")] = None,
    limit: Limit = 100,
    page_token: PageToken = None,
) -> Response:
    """A page of trials by stage and number, without their curves."""

    def ask(tx: Transaction) -> records.Page[records.Trial]:
        jobs.state_of(tx, job_id, who.sees)
        return trials.list(tx, job_id, stage=stage, limit=limit, page_token=page_token)

    page = use.database.query(ask)
    return as_json(answers.page(map(answers.trial, page.items), page.next_token))


@router.get(
    "/{stage}/{number}/curve",
    response_model=CurveView,
    summary="A trial's learning curve",
    responses=problem_responses("job_not_found", "trial_not_found", "invalid_request"),
)
def get_curve(
    use: Use, who: Who, job_id: str, stage: Stage, number: Annotated[int, Path(ge=0, le=MOST_TRIALS)]
) -> Response:
    """The metrics of each epoch; trial numbers are per stage, from 0."""

    def ask(tx: Transaction) -> tuple[records.CurvePoint, ...]:
        jobs.state_of(tx, job_id, who.sees)
        return trials.curve(tx, job_id, stage, number)

    return as_json(answers.curve(stage, number, use.database.query(ask)))
