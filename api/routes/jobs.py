"""Jobs: submit, list, get, cancel."""

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Body, Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from api import serializers
from api.conditional import as_json, versioned_json
from api.deps import CallerDep, Limit, PageToken, ServicesDep
from api.errors import ForbiddenError
from api.problems import problem_responses
from api.routes.job_examples import JOB_EXAMPLES
from api.schemas.checks import JobCheck
from api.schemas.jobs import Job, JobPage, JobRequest
from api.submission import check, enqueue, idempotent_request, stored_answer
from store import jobs, queue
from store.api_keys import OWNER_PATTERN
from store.idempotency import Answer
from store.job_orders import JobOrder
from store.records import JobState

CLIENT_CLOSED_REQUEST = 499
"""The status that proxies log for a request whose client has disconnected."""
POLL_AFTER_S = 2
"""Retry-After of a job that has not ended, in seconds."""

REFUSALS = (
    "malformed_json",
    "body_too_large",
    "unsupported_media_type",
    "invalid_request",
    "invalid_value",
    "unknown_name",
    "invalid_spec",
    "impossible_sparsity",
    "data_unavailable",
    "invalid_weights",
    "untraceable_model",
    "invalid_network",
    "unsupported_operation",
    "network_mismatch",
    "network_too_large",
    "incompressible_model",
    "unknown_upload",
)


router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.post(
    "",
    status_code=202,
    response_model=Job,
    summary="Queue a job",
    responses={
        200: {"model": JobCheck, "description": "With `validate_only`: the job is valid; the result of the check."},
        202: {
            "description": "The job is queued.",
            "headers": {
                "Location": {"description": "Address of the job.", "schema": {"type": "string"}},
                "Idempotent-Replayed": {
                    "description": "`true` if an earlier request with this key queued the job; otherwise absent.",
                    "schema": {"type": "string"},
                },
            },
        },
        **problem_responses(*REFUSALS, "idempotency_conflict", "quota_exceeded", "busy", "not_ready"),
    },
)
async def submit_job(
    services: ServicesDep,
    caller: CallerDep,
    http_request: Request,
    spec: Annotated[JobRequest, Body(openapi_examples=JOB_EXAMPLES)],
    validate_only: Annotated[
        bool, Query(description="Check the job and estimate its duration, without queueing it.")
    ] = False,
    timed: Annotated[
        bool,
        Query(
            description="With `validate_only`: time the job's trainings for the estimate, which takes some seconds. "
            "Without timing, the estimate counts trainings and has no durations."
        ),
    ] = True,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            max_length=255,
            pattern=r"^[\x21-\x7e]+$",
            description="A unique key chosen by the client for each job. A repeated request with the same key within "
            "24 hours returns the response to the first one and queues nothing. Error responses are not stored.",
        ),
    ] = None,
) -> Response:
    """Checks the job as far as possible before it runs (names, combinations, data set, weights, sparsity, whether the
    model can be traced) and queues it."""
    request = None if validate_only or idempotency_key is None else idempotent_request(caller, idempotency_key, spec)
    async with services.checks.slot(caller.owner):
        if request is not None and (earlier := await run_in_threadpool(stored_answer, services, request)) is not None:
            return _accepted(earlier, replayed=True)
        found = await to_thread.run_sync(check, services, caller, spec, validate_only, limiter=services.slow_threads)
    if validate_only and not timed:
        reason = "the request asked for no timing"
        counted = await to_thread.run_sync(services.checker.untimed, spec, found, reason, limiter=services.slow_threads)
        return as_json(JobCheck.of(spec, found, counted))
    if validate_only:
        async with services.estimates.slot(caller.owner):
            if await http_request.is_disconnected():  # while the request waited for the slot
                return Response(status_code=CLIENT_CLOSED_REQUEST)
            estimate = await to_thread.run_sync(services.checker.estimate, spec, found, limiter=services.slow_threads)
        return as_json(JobCheck.of(spec, found, estimate))
    answer, replayed = await run_in_threadpool(enqueue, services, caller, spec, request)
    return _accepted(answer, replayed=replayed)


@router.get(
    "",
    response_model=JobPage,
    summary="List jobs",
    responses=problem_responses("invalid_page_token", "invalid_request"),
)
def list_jobs(
    services: ServicesDep,
    caller: CallerDep,
    state: Annotated[JobState | None, Query(description="Return only jobs in this state.")] = None,
    owner: Annotated[
        str | None,
        Query(
            pattern=OWNER_PATTERN, description="Return only jobs of this owner. Jobs of other owners need an admin key."
        ),
    ] = None,
    network: Annotated[
        str | None,
        Query(max_length=200, description="Return only jobs whose architecture contains this text, in any case."),
    ] = None,
    text: Annotated[
        str | None,
        Query(
            max_length=200,
            description="Return only jobs whose name contains this text, in any case, or whose id begins with it.",
        ),
    ] = None,
    order: Annotated[
        JobOrder,
        Query(
            description="Order of the list; a minus means the largest first. `accuracy` and `gain` are those of "
            "results, on the test split where it was measured. Jobs without the value come last. A page token is "
            "valid for one order."
        ),
    ] = JobOrder.NEWEST,
    limit: Limit = 50,
    page_token: PageToken = None,
) -> Response:
    """Returns a page of the jobs that the key can see. Jobs queued in the meantime do not shift the pages."""
    if caller.visible_owner is not None and owner not in (None, caller.visible_owner):
        raise ForbiddenError(
            f"this key can see the jobs of {caller.visible_owner!r}; to list those of {owner!r}, use a key with the "
            "scope 'admin'"
        )
    page = services.database.query(
        lambda tx: jobs.list(
            tx,
            state=state,
            owner=owner or caller.visible_owner,
            network=network,
            text=text,
            order=order,
            limit=limit,
            page_token=page_token,
        )
    )
    items = (serializers.job(job, services.settings.root_path) for job in page.items)
    return as_json(serializers.page(items, page.next_token))


@router.get(
    "/{job_id}",
    response_model=Job,
    summary="Get a job",
    responses={
        200: {
            "headers": {
                "ETag": {"description": "Version of the job, for If-None-Match.", "schema": {"type": "string"}},
                "Retry-After": {
                    "description": "Seconds until the next poll; absent once the job has ended.",
                    "schema": {"type": "integer"},
                },
            }
        },
        304: {"description": "If-None-Match names the current version."},
        **problem_responses("job_not_found"),
    },
)
def get_job(services: ServicesDep, caller: CallerDep, request: Request, job_id: str) -> Response:
    """Returns the job's state, stage, progress, error, and the addresses of its parts."""
    job = services.database.query(lambda tx: jobs.get(tx, job_id, caller.visible_owner))
    headers = {} if job.state.is_final else {"Retry-After": str(POLL_AFTER_S)}
    return versioned_json(request, serializers.job(job, services.settings.root_path), headers)


@router.post(
    "/{job_id}/cancel",
    response_model=Job,
    summary="Cancel a job",
    responses=problem_responses("job_not_found", "incompatible_state"),
)
def cancel_job(services: ServicesDep, caller: CallerDep, job_id: str) -> Response:
    """Cancels a queued job at once. A running job is `cancelling` until its runner has stopped."""
    with services.database.begin() as tx:
        job = queue.request_cancel(tx, job_id, caller.visible_owner)
    return as_json(serializers.job(job, services.settings.root_path))


def _accepted(answer: Answer, *, replayed: bool) -> Response:
    headers = {"Location": f"/v1/jobs/{answer.job_id}"} | ({"Idempotent-Replayed": "true"} if replayed else {})
    return Response(answer.body, status_code=202, media_type="application/json", headers=headers)
