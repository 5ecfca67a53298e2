"""Jobs: submit, list, look, cancel."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Body, Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from api import answers
from api.conditional import as_json, versioned_json
from api.deps import Limit, PageToken, Services, Use, Who
from api.errors import ForbiddenError, UnknownUploadError
from api.gate.access import Caller
from api.problems import problem_responses
from api.schemas import CheckView, JobRequest, JobView, Page
from api.settings import ApiSettings
from safs.preflight import Preflight
from safs.spec.job import JobSpec
from store import idempotency, jobs, owner_limits, queue, uploads
from store.api_keys import OWNER_PATTERN
from store.crash_points import reach
from store.errors import UploadNotFound
from store.idempotency import Answer
from store.records import JobState
from store.session import Transaction
from telemetry import tracing

NOBODY_LISTENS = 499
"""What proxies note for an answer whose client has gone."""
LOOK_AGAIN_S = 2
"""Retry-After of a job that has not ended."""

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
    "incompressible_model",
    "unknown_upload",
)
_MINIMAL = {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": 0.99}
_FULL = {
    "name": "resnet18 at 99%",
    "model": {"architecture": "resnet18", "weights": None},
    "data": {"dataset": "cifar10", "validation_fraction": 0.1, "batch_size": 256, "augment": "default"},
    "sparsity": 0.99,
    "preset": "balanced",
    "train": {"epochs": 30, "optimizer": "adam", "learning_rate": 1e-3, "weight_decay": 0, "schedule": "cosine"},
    "prune": {"method": "magnitude", "distribution": "global"},
    "activations": {"strategy": "lahc", "trials": 22, "epochs": 8, "operators": ["swish", "hardswish", "acon", "tanh"]},
    "tune": {"strategy": "smac", "trials": 20, "epochs": 8},
    "final": {"epochs": 30, "repeats": 1, "candidates": ["default", "activations", "hyperparameters", "safs"]},
    "resources": {"trials_in_parallel": 4, "gpus_per_trial": 0.25, "time_limit_s": 86400},
    "seed": 0,
}
_EXAMPLES: Any = {
    "minimal": {"summary": "As little as is needed", "value": _MINIMAL},
    "full": {"summary": "Everything said", "value": _FULL},
}

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.post(
    "",
    status_code=202,
    response_model=JobView,
    summary="Queue a job",
    responses={
        200: {"model": CheckView, "description": "With `validate_only`: the job is fine; how long it will take."},
        202: {
            "description": "The job is queued.",
            "headers": {
                "Location": {"description": "Where the job is.", "schema": {"type": "string"}},
                "Idempotent-Replayed": {
                    "description": "`true` where the job was queued by an earlier request with this Idempotency-Key.",
                    "schema": {"type": "string"},
                },
            },
        },
        **problem_responses(*REFUSALS, "idempotency_conflict", "quota_exceeded", "busy"),
    },
)
async def submit(
    use: Use,
    who: Who,
    http: Request,
    spec: Annotated[JobRequest, Body(openapi_examples=_EXAMPLES)],
    validate_only: Annotated[
        bool, Query(description="Check the job, say what was found and how long it will take, and queue nothing.")
    ] = False,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            max_length=255,
            pattern=r"^[\x21-\x7e]+$",
            description="Of your making, a new one for each job. A request that comes again under the same key within "
            "24 hours is answered as the first was, and queues nothing. Refusals are not kept.",
        ),
    ] = None,
) -> Response:
    """Checks the job as far as that is possible before it runs (names, combinations, data set, weights, sparsity,
    whether the model can be traced), and queues it."""
    request = None if validate_only or idempotency_key is None else _request(who, idempotency_key, spec)
    async with use.checks.place(who.owner):
        if request is not None and (before := await run_in_threadpool(_answered, use, request)) is not None:
            return _queued(before, replayed=True)
        found = await to_thread.run_sync(_check, use, who, spec, limiter=use.slow_threads)
    if validate_only:
        async with use.estimates.place(who.owner):
            if await http.is_disconnected():  # while it waited
                return Response(status_code=NOBODY_LISTENS)
            estimate = await to_thread.run_sync(use.estimate, spec, found, limiter=use.slow_threads)
        return as_json(CheckView.of(spec, found, estimate))
    answer, replayed = await run_in_threadpool(_queue, use, who, spec, request)
    return _queued(answer, replayed=replayed)


@router.get(
    "",
    response_model=Page[JobView],
    summary="List jobs, the newest first",
    responses=problem_responses("invalid_page_token", "invalid_request"),
)
def list_jobs(
    use: Use,
    who: Who,
    state: Annotated[JobState | None, Query(description="Only jobs in this state.")] = None,
    owner: Annotated[
        str | None, Query(pattern=OWNER_PATTERN, description="Only jobs of this owner; others' need an admin key.")
    ] = None,
    limit: Limit = 50,
    page_token: PageToken = None,
) -> Response:
    """A page of jobs, all that the key may see; jobs that are queued meanwhile do not shift the pages."""
    if who.sees is not None and owner not in (None, who.sees):
        raise ForbiddenError(
            f"this key sees the jobs of {who.sees!r}; those of {owner!r} need one with the scope 'admin'"
        )
    page = use.database.query(
        lambda tx: jobs.list(tx, state=state, owner=owner or who.sees, limit=limit, page_token=page_token)
    )
    return as_json(answers.page(map(answers.job, page.items), page.next_token))


@router.get(
    "/{job_id}",
    response_model=JobView,
    summary="Look at a job",
    responses={
        200: {
            "headers": {
                "ETag": {"description": "For If-None-Match.", "schema": {"type": "string"}},
                "Retry-After": {"description": "Seconds; while it has not ended.", "schema": {"type": "integer"}},
            }
        },
        304: {"description": "Nothing has changed since the version in If-None-Match."},
        **problem_responses("job_not_found"),
    },
)
def get_job(use: Use, who: Who, request: Request, job_id: str) -> Response:
    """State, stage and progress; why it failed; where its parts are."""
    job = use.database.query(lambda tx: jobs.get(tx, job_id, who.sees))
    headers = {} if job.state.is_final else {"Retry-After": str(LOOK_AGAIN_S)}
    return versioned_json(request, answers.job(job), headers)


@router.post(
    "/{job_id}/cancel",
    response_model=JobView,
    summary="Cancel a job",
    responses=problem_responses("job_not_found", "incompatible_state"),
)
def cancel(use: Use, who: Who, job_id: str) -> Response:
    """A queued job is cancelled at once; a running one is `cancelling` until its runner has stopped."""
    with use.database.begin() as tx:
        job = queue.request_cancel(tx, job_id, who.sees)
    return as_json(answers.job(job))


def _check(use: Services, who: Caller, spec: JobSpec) -> Preflight:
    weights = None
    if spec.model.weights is not None:
        with use.database.read() as tx, _upload_named():
            upload = uploads.get(tx, spec.model.weights, who.sees)
        weights = use.artifacts.intact_path(upload.sha256)
    return use.check(spec, data_root=use.settings.data_folder, weights=weights)


@contextmanager
def _upload_named() -> Iterator[None]:
    try:
        yield
    except UploadNotFound as error:
        raise UnknownUploadError(str(error), field="model.weights") from error


def _request(who: Caller, key: str, spec: JobSpec) -> idempotency.Request:
    """Two bodies that say the same job in different words are the same request."""
    asked = json.dumps(spec.model_dump(mode="json"), sort_keys=True)
    return idempotency.Request(who.owner, key, sha256(asked.encode()).hexdigest())


def _answered(use: Services, request: idempotency.Request) -> Answer | None:
    return use.database.query(lambda tx: idempotency.find(tx, request))


def _queue(use: Services, who: Caller, spec: JobSpec, request: idempotency.Request | None) -> tuple[Answer, bool]:
    """The answer, and whether it is that of an earlier request."""
    with use.database.begin() as tx:
        owner_limits.lock(tx, who.owner)
        if request is not None and (before := idempotency.find(tx, request)) is not None:
            return before, True
        _check_quotas(tx, use.settings, who)
        if spec.model.weights is not None:
            with _upload_named():
                uploads.lock(tx, spec.model.weights)
        trace = tracing.traceparent()
        job = queue.submit(tx, spec.model_dump(mode="json"), spec.name, owner=who.owner, traceparent=trace)
        answer = Answer(job.id, answers.dump(answers.job(job)).decode())
        if request is not None:
            idempotency.save(tx, request, answer)
        reach("submit.before_commit")
    reach("submit.after_commit")
    return answer, False


def _check_quotas(tx: Transaction, settings: ApiSettings, who: Caller) -> None:
    if who.key is None:
        return
    limits = who.key.limits
    owner_limits.check_queued(
        tx, who.key.owner, settings.queued_jobs if limits.queued_jobs is None else limits.queued_jobs
    )
    gpu_hours = settings.gpu_hours if limits.gpu_hours is None else limits.gpu_hours
    if gpu_hours is not None:
        owner_limits.check_gpu_hours(tx, who.key.owner, gpu_hours)


def _queued(answer: Answer, *, replayed: bool) -> Response:
    headers = {"Location": f"/v1/jobs/{answer.job_id}"} | ({"Idempotent-Replayed": "true"} if replayed else {})
    return Response(answer.body, status_code=202, media_type="application/json", headers=headers)
