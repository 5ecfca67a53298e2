"""Result files of a succeeded job, and its exports."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import FileResponse

from api.conditional import check_range, not_modified
from api.deps import CallerDep, Services, ServicesDep
from api.errors import NoResultError, NotFinishedError
from api.exports import artifact_name
from api.gate.access import Caller
from api.problems import problem_responses
from safs.deploy.formats import FORMATS
from safs.result_folder import CHECKPOINT, CONFIG, NETWORK, PICTURE, REPORT, RESULT_FILES, point_part
from store import jobs
from store.artifacts import stored_files
from store.records import Job, JobArtifact

_FILE_PROBLEMS = (
    "job_not_found",
    "no_result",
    "artifact_not_found",
    "artifact_damaged",
    "storage_unavailable",
    "job_not_finished",
    "range_not_satisfiable",
)
_EXPORT_PROBLEMS = (
    "unknown_name",
    "invalid_request",
    "export_failed",
    "missing_extra",
    "busy",
    "out_of_space",
    "output_unavailable",
)
_BYTES = {"type": "string", "format": "binary"}
_OBJECT = {"type": "object", "additionalProperties": True}
_HEADERS = {
    "ETag": {"description": "SHA-256 of the content.", "schema": {"type": "string"}},
    "Content-Length": {"description": "Size in bytes.", "schema": {"type": "integer"}},
}


def _responses(*media_types: str, problems: tuple[str, ...] = ()) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's ``responses`` of an endpoint that sends a file of these types; ``problems`` join the usual ones."""
    whole = {kind: {"schema": _OBJECT if kind == CONFIG.media_type else _BYTES} for kind in media_types}
    return {
        200: {"description": "The file.", "content": whole, "headers": _HEADERS},
        206: {
            "description": "The part of the file that Range requests.",
            "content": {kind: {"schema": _BYTES} for kind in media_types},
        },
        304: {"description": "If-None-Match names this content."},
        **problem_responses(*_FILE_PROBLEMS, *problems),
    }


_REPORT, _PICTURE, _NETWORK = (_responses(file.media_type) for file in (REPORT, PICTURE, NETWORK))
_CHECKPOINT, _CONFIG = (
    _responses(file.media_type, problems=("invalid_request",))
    for file in (CHECKPOINT, CONFIG)  # a wrong `sparsity`
)

PointDep = Annotated[
    float | None,
    Query(ge=0, lt=1, description="Sparsity of a point of the job's front; without it, the recommended point."),
]

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"], default_response_class=Response)


@router.get("/checkpoint", summary="Download the sparse weights (safetensors)", responses=_CHECKPOINT)
async def get_checkpoint(
    services: ServicesDep, caller: CallerDep, request: Request, job_id: str, sparsity: PointDep = None
) -> Response:
    """Returns the weights under the network's own parameter names; pruned weights are exactly zero.
    `safetensors.torch.load_file` reads the file. They belong to the operators that the configuration names."""
    return await _respond(services, caller, request, job_id, "checkpoint", sparsity)


@router.get("/config", summary="Download the configuration of the network", responses=_CONFIG)
async def get_config(
    services: ServicesDep, caller: CallerDep, request: Request, job_id: str, sparsity: PointDep = None
) -> Response:
    """Returns all that is needed to rebuild the network and to repeat the job: job spec, operators with their scalars,
    hyperparameters, seeds, versions and hashes."""
    return await _respond(services, caller, request, job_id, "config", sparsity)


@router.get("/report", summary="Download the report", responses=_REPORT)
async def get_report(services: ServicesDep, caller: CallerDep, request: Request, job_id: str) -> Response:
    """Returns the comparison with the default protocol, all trials of all searches and the learning curves."""
    return await _respond(services, caller, request, job_id, "report")


@router.get("/picture", summary="Download the report as a picture (PNG)", responses=_PICTURE)
async def get_picture(services: ServicesDep, caller: CallerDep, request: Request, job_id: str) -> Response:
    """Returns a picture with the accuracy of every trial, the final trainings and the operator chosen at each site."""
    return await _respond(services, caller, request, job_id, "picture")


@router.get(
    "/network", summary="Download the graph of a network that was brought", responses=_responses(NETWORK.media_type)
)
async def get_network(services: ServicesDep, caller: CallerDep, request: Request, job_id: str) -> Response:
    """Returns the document of the network (`network.json`), from which `safs.load` rebuilds it. Only results of own
    networks, and of named ones that torch.fx cannot trace, have it."""
    return await _respond(services, caller, request, job_id, "network")


@router.get(
    "/exports/{format}",
    summary="Download the result in another format",
    responses=_responses(*sorted({entry.media_type for entry in FORMATS.values()}))
    | problem_responses(*_FILE_PROBLEMS, *_EXPORT_PROBLEMS),
)
async def get_export(
    services: ServicesDep,
    caller: CallerDep,
    request: Request,
    job_id: str,
    format: Annotated[str, Path(description=f"One of {', '.join(FORMATS)}.")],
    sparsity: PointDep = None,
) -> Response:
    """Returns the result in a form that runs elsewhere, as docs/formats.md describes. The first request makes it, which
    takes seconds, and checks that it computes what the result computes; later requests get the same file. A format with
    several files comes as a zip. With `sparsity`, a point of the job's front is exported."""
    entry = FORMATS[format]
    find = partial(_find_export, services, caller, job_id, format, sparsity)
    point, found = await to_thread.run_sync(find, limiter=services.slow_threads)
    if found is None:
        found = await services.exports.make(job_id, format, caller.owner, point)
    args = (services, request, found, entry.download)
    return await to_thread.run_sync(_file_response, *args, limiter=services.slow_threads)


async def _respond(
    services: Services, caller: Caller, request: Request, job_id: str, name: str, sparsity: float | None = None
) -> Response:
    # Hashing a large file takes long, so it must not hold a request thread.
    args = (services, caller, request, job_id, name, sparsity)
    return await to_thread.run_sync(_make_response, *args, limiter=services.slow_threads)


def _make_response(
    services: Services, caller: Caller, request: Request, job_id: str, name: str, sparsity: float | None
) -> Response:
    found = _find(services, caller, job_id, name, sparsity)
    return _file_response(services, request, found, RESULT_FILES[name].filename)


def _file_response(services: Services, request: Request, artifact: JobArtifact, filename: str) -> Response:
    etag = f'"{artifact.sha256}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if not_modified(request, etag):
        return Response(status_code=304, headers=headers)
    # The file is hashed before the first byte is sent, so a damaged file is a problem and not an aborted download.
    path = services.artifacts.intact_path(artifact.sha256)
    stat = path.stat()
    file = FileResponse(path, media_type=artifact.media_type, headers=headers, filename=filename, stat_result=stat)
    check_range(request, file, artifact.size_bytes)  # Starlette would respond to a bad range in plain text.
    return file


def _find(services: Services, caller: Caller, job_id: str, name: str, sparsity: float | None) -> JobArtifact:
    job, files = _result(services, caller, job_id, name)
    if name not in files:
        raise _no_result(job, name)
    return _at(job, files, name, sparsity)


def _at(job: Job, files: Mapping[str, JobArtifact], name: str, sparsity: float | None) -> JobArtifact:
    """The file ``name`` of the point at ``sparsity``, or of the recommended one."""
    if sparsity is None or (job.spec.get("front") is None and sparsity == job.spec["sparsity"]):
        return files[name]
    if (own := point_part(name, sparsity)) not in files:
        raise _no_point(job, name, sparsity, files)
    return files[own]


def _find_export(
    services: Services, caller: Caller, job_id: str, format: str, sparsity: float | None
) -> tuple[float | None, JobArtifact | None]:
    """The sparsity of the exported point, None for the recommended one; and the export, None if it was not made yet."""
    job, files = _result(services, caller, job_id, artifact_name(format))
    if "checkpoint" not in files:
        raise _no_result(job, artifact_name(format))
    checkpoint = _at(job, files, "checkpoint", sparsity)
    point = None if checkpoint.sha256 == files["checkpoint"].sha256 else sparsity
    return point, files.get(artifact_name(format, point))


def _result(services: Services, caller: Caller, job_id: str, name: str) -> tuple[Job, dict[str, JobArtifact]]:
    with services.database.read() as tx:
        job = jobs.get(tx, job_id, caller.visible_owner)
        files = stored_files.of_job(tx, job_id)
    if not job.state.is_final:
        raise NotFinishedError(f"job {job_id} is {job.state}; its {name} is available once it has succeeded")
    return job, files


def _no_point(job: Job, name: str, sparsity: float, files: Mapping[str, JobArtifact]) -> NoResultError:
    known = sorted(float(file.partition("@")[2]) for file in files if file.startswith(f"{name}@"))
    points = ", ".join(map(str, known or [job.spec["sparsity"]]))
    return NoResultError(f"job {job.id} has no {name} at sparsity {sparsity}; it has {points}")


def _no_result(job: Job, name: str) -> NoResultError:
    reason = f": {job.error.message}" if job.error else ""
    return NoResultError(f"job {job.id} has no {name}; it is {job.state}{reason}")
