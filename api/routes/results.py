"""The files of a job that has succeeded."""

from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse

from api.conditional import check_range, not_modified
from api.deps import Services, Use, Who
from api.errors import NoResultError, NotFinishedError
from api.gate.access import Caller
from api.problems import problem_responses
from store import jobs
from store.artifacts import stored_files
from store.records import JobArtifact

_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file.",
        "headers": {"ETag": {"description": "The content's sha256.", "schema": {"type": "string"}}},
    },
    206: {"description": "The part of the file that Range asks for."},
    304: {"description": "The caller has this content already, says If-None-Match."},
    **problem_responses(
        "job_not_found",
        "no_result",
        "artifact_not_found",
        "artifact_damaged",
        "storage_unavailable",
        "job_not_finished",
        "range_not_satisfiable",
    ),
}

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"], default_response_class=FileResponse)


@router.get("/checkpoint", summary="The sparse weights (safetensors)", responses=_RESPONSES)
async def get_checkpoint(use: Use, who: Who, request: Request, job_id: str) -> Response:
    """The model's own parameter names with exact zeros; `safetensors.torch.load_file` reads it."""
    return await _answer(use, who, request, job_id, "checkpoint", "checkpoint.safetensors")


@router.get("/config", summary="What rebuilds the network", responses=_RESPONSES)
async def get_config(use: Use, who: Who, request: Request, job_id: str) -> Response:
    """Spec, operators with their scalars, hyperparameters, seeds, versions, hashes."""
    return await _answer(use, who, request, job_id, "config", "config.json")


@router.get("/report", summary="What was gained", responses=_RESPONSES)
async def get_report(use: Use, who: Who, request: Request, job_id: str) -> Response:
    """Every row of the comparison, both searches, all numbers of the picture."""
    return await _answer(use, who, request, job_id, "report", "report.json")


@router.get("/picture", summary="The report as a picture (PNG)", responses=_RESPONSES)
async def get_picture(use: Use, who: Who, request: Request, job_id: str) -> Response:
    """Score per trial of both stages, and the operator chosen at each site."""
    return await _answer(use, who, request, job_id, "picture", "report.png")


async def _answer(use: Services, who: Caller, request: Request, job_id: str, name: str, filename: str) -> Response:
    # Reading a large file takes a thread for a while: not one of those that answer other requests.
    given = (use, who, request, job_id, name, filename)
    return await to_thread.run_sync(_answer_now, *given, limiter=use.slow_threads)


def _answer_now(use: Services, who: Caller, request: Request, job_id: str, name: str, filename: str) -> Response:
    artifact = _find(use, who, job_id, name)
    etag = f'"{artifact.sha256}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if not_modified(request, etag):
        return Response(status_code=304, headers=headers)
    # Every byte is read before the first is sent: what is damaged is a problem, not a download that breaks off.
    path = use.artifacts.intact_path(artifact.sha256)
    about = path.stat()
    file = FileResponse(path, media_type=artifact.media_type, headers=headers, filename=filename, stat_result=about)
    check_range(request, file, artifact.size_bytes)  # The framework would answer a bad range in plain text.
    return file


def _find(use: Services, who: Caller, job_id: str, name: str) -> JobArtifact:
    with use.database.read() as tx:
        job = jobs.get(tx, job_id, who.sees)
        found = stored_files.of_job(tx, job_id).get(name)
    if not job.state.is_final:
        raise NotFinishedError(f"job {job_id} is {job.state}; its {name} is there once it has succeeded")
    if found is None:
        reason = f": {job.error.message}" if job.error else ""
        raise NoResultError(f"job {job_id} has no {name}: it is {job.state}{reason}")
    return found
