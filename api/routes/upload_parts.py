"""Uploads in parts, which continue after a broken connection."""

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Header, Path, Request
from starlette.concurrency import run_in_threadpool

from api.deps import CallerDep, Services, ServicesDep
from api.errors import UploadError, UploadTooLargeError
from api.gate.access import Caller
from api.problems import problem_responses
from api.routes.uploads import store_file
from api.schemas import uploads as schemas
from api.uploads.parts import PART_BYTES, JoinedParts, PartStream, announced_digest, missing_parts, part_sizes
from api.uploads.request_body import FILE_BODY, BodyFromThread, body_errors, check_headers
from store import incoming, records, uploads
from store.incoming import IncomingUpload

router = APIRouter(prefix="/v1/incoming-uploads", tags=["uploads"])


@router.post(
    "",
    status_code=201,
    summary="Begin an upload in parts",
    responses=problem_responses("malformed_json", "upload_too_large", "invalid_request"),
)
def begin_upload(
    services: ServicesDep, caller: CallerDep, wanted: schemas.IncomingUploadRequest
) -> schemas.IncomingUpload:
    """Announces a large file. Its parts have `part_bytes` bytes each, the last one the rest. They may arrive in any
    order and more than once. What is not completed within a day expires."""
    limit = services.settings.upload_limit_bytes
    if wanted.size_bytes > limit:
        raise UploadTooLargeError(
            f"the file has {wanted.size_bytes} bytes; the limit set by SAFS_UPLOAD_LIMIT_BYTES is {limit}",
            field="size_bytes",
        )
    with services.database.begin() as tx:
        return _view(incoming.begin(tx, wanted.filename, wanted.size_bytes, caller.owner))


@router.get("/{incoming_id}", summary="Get an upload in parts", responses=problem_responses("upload_not_found"))
def get_incoming_upload(services: ServicesDep, caller: CallerDep, incoming_id: str) -> schemas.IncomingUpload:
    """Returns the parts that have arrived, and the numbers of those that are missing."""
    return _view(_found(services, caller, incoming_id))


@router.put(
    "/{incoming_id}/parts/{number}",
    summary="Upload a part",
    responses=problem_responses(
        "upload_not_found",
        "upload_too_large",
        "unsupported_media_type",
        "invalid_upload",
        "invalid_request",
        "out_of_space",
        "storage_unavailable",
        "busy",
    ),
    openapi_extra=FILE_BODY,
)
async def upload_part(
    services: ServicesDep,
    caller: CallerDep,
    request: Request,
    incoming_id: str,
    number: Annotated[int, Path(ge=1, le=100_000, description="Number of the part, from 1.")],
    content_digest: Annotated[
        str,
        Header(description="SHA-256 of the part as RFC 9530 writes it: `sha-256=:<base64>:`.", max_length=500),
    ],
) -> schemas.IncomingUpload:
    """Stores a part, which must have the announced digest. A part that was sent before is replaced."""
    check_headers(request, PART_BYTES)
    digest = announced_digest(content_digest)
    begun = await run_in_threadpool(_found, services, caller, incoming_id)
    sizes = part_sizes(begun.size_bytes)
    if number > len(sizes) or begun.upload_id is not None:
        raise UploadError(f"there is no part {number} to send: the file has {len(sizes)} parts, or is complete already")
    async with services.uploads.slot(caller.owner):
        part = PartStream(BodyFromThread(request.stream()), size_bytes=sizes[number - 1], sha256=digest)
        await to_thread.run_sync(_store_part, services, begun.id, number, part, limiter=services.upload_threads)
    return _view(await run_in_threadpool(_found, services, caller, incoming_id))


@router.post(
    "/{incoming_id}/complete",
    status_code=201,
    summary="Complete an upload in parts",
    responses=problem_responses(
        "upload_not_found",
        "invalid_upload",
        "invalid_network",
        "unsupported_operation",
        "network_too_large",
        "artifact_damaged",
        "out_of_space",
        "storage_unavailable",
        "not_ready",
        "busy",
    ),
)
async def complete_upload(services: ServicesDep, caller: CallerDep, incoming_id: str) -> schemas.Upload:
    """Joins the parts and checks the file like one that is sent at once. A repeated request returns the same upload."""
    async with services.uploads.slot(caller.owner):
        created = await to_thread.run_sync(_complete, services, caller, incoming_id, limiter=services.upload_threads)
    return schemas.Upload.of(created)


def _found(services: Services, caller: Caller, incoming_id: str) -> IncomingUpload:
    return services.database.query(lambda tx: incoming.get(tx, incoming_id, caller.visible_owner))


def _store_part(services: Services, incoming_id: str, number: int, part: PartStream) -> None:
    with body_errors():
        stored = services.artifacts.put(part)
    with services.database.begin() as tx:
        incoming.get(tx, incoming_id)
        incoming.add_part(tx, incoming_id, number, stored)


def _complete(services: Services, caller: Caller, incoming_id: str) -> records.Upload:
    begun = _found(services, caller, incoming_id)
    if begun.upload_id is not None:
        upload_id = begun.upload_id
        return services.database.query(lambda tx: uploads.get(tx, upload_id))
    if missing := missing_parts(begun):
        listed = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        raise UploadError(f"the upload is not complete: the parts {listed} are missing")
    with JoinedParts(services.artifacts, begun.parts) as joined:
        created = store_file(services, caller, joined, begun.filename)
    with services.database.begin() as tx:
        incoming.complete(tx, incoming_id, created.id)
    return created


def _view(upload: IncomingUpload) -> schemas.IncomingUpload:
    return schemas.IncomingUpload(
        id=upload.id,
        filename=upload.filename,
        size_bytes=upload.size_bytes,
        part_bytes=PART_BYTES,
        parts=[schemas.IncomingPart.model_validate(part) for part in upload.parts],
        missing=[] if upload.upload_id else missing_parts(upload),
        upload_id=upload.upload_id,
        created_at=upload.created_at,
    )
