"""Uploads of dense weights from which jobs start."""

import time
from collections.abc import AsyncIterator
from typing import Annotated

from anyio import fail_after, from_thread, to_thread
from fastapi import APIRouter, Query, Request
from starlette.requests import ClientDisconnect

from api.deps import CallerDep, Services, ServicesDep
from api.errors import MediaTypeError, UploadError, UploadTooLargeError
from api.gate.access import Caller
from api.problems import problem_responses
from api.schemas import Upload
from api.uploads.network_check import CheckedNetwork
from api.uploads.safetensors_stream import Readable, SafetensorsStream
from store import records, uploads
from store.crash_points import reach

MEDIA_TYPE = "application/octet-stream"
MAX_PAUSE_S = 60.0
"""Seconds a body may pause. A stalled upload would block others, since few run at the same time."""
MIN_BYTES_PER_S = 10_000
"""Minimum average speed after the first ``MAX_PAUSE_S``. A trickling upload would block others too."""

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])


@router.post(
    "",
    status_code=201,
    summary="Upload dense weights (safetensors)",
    responses=problem_responses(
        "upload_too_large",
        "unsupported_media_type",
        "invalid_upload",
        "invalid_network",
        "unsupported_operation",
        "network_too_large",
        "invalid_request",
        "out_of_space",
        "storage_unavailable",
        "not_ready",
        "busy",
    ),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def upload_weights(
    services: ServicesDep,
    caller: CallerDep,
    request: Request,
    filename: Annotated[
        str, Query(min_length=1, max_length=200, description="Name of the file, for people.")
    ] = "weights.safetensors",
) -> Upload:
    """Stores a state dict, sent as the raw bytes of a safetensors file. All numbers must be finite. A refused upload
    leaves nothing behind. A job names the upload by its `id` in `model.weights`."""
    _check_headers(request, services.settings.upload_limit_bytes)
    async with services.uploads.slot(caller.owner):
        body = _BodyFromThread(request.stream())
        created = await to_thread.run_sync(_store, services, caller, body, filename, limiter=services.upload_threads)
    return Upload.of(created)


@router.get("/{upload_id}", summary="Get an upload", responses=problem_responses("upload_not_found"))
def get_upload(services: ServicesDep, caller: CallerDep, upload_id: str) -> Upload:
    """Returns the name, size and hash of the file and the number of its tensors."""
    return Upload.of(services.database.query(lambda tx: uploads.get(tx, upload_id, caller.visible_owner)))


def _store(services: Services, caller: Caller, body: Readable, filename: str) -> records.Upload:
    try:
        with SafetensorsStream(body, limit_bytes=services.settings.upload_limit_bytes) as incoming:
            checked = CheckedNetwork(incoming, max_gflops=services.settings.network_gflops)
            stored = services.artifacts.put(checked)
    except ClientDisconnect as error:
        raise UploadError("the upload is truncated: the connection was closed before the end of the file") from error
    except TimeoutError as error:
        raise UploadError(
            f"the upload timed out: no bytes arrived for {MAX_PAUSE_S:g} s, or fewer than {MIN_BYTES_PER_S:,} bytes "
            "per second on average; send it again over a faster connection"
        ) from error
    with services.database.begin() as tx:
        created = uploads.create(tx, stored, filename, incoming.tensors, caller.owner)
        reach("upload.before_commit")
    reach("upload.after_commit")
    return created


class _BodyFromThread:
    """A request's body as a stream that a worker thread can read."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""
        self._started_s = time.monotonic()
        self._received = 0

    def read(self, size: int, /) -> bytes:
        if not self._rest:
            self._rest = from_thread.run(self._next)
        chunk, self._rest = self._rest[:size], self._rest[size:]
        return chunk

    async def _next(self) -> bytes:
        with fail_after(self._timeout_s()):
            async for chunk in self._chunks:
                if chunk:
                    self._received += len(chunk)
                    return chunk
        return b""

    def _timeout_s(self) -> float:
        """Seconds within which the next bytes must arrive."""
        late_s = time.monotonic() - self._started_s - self._received / MIN_BYTES_PER_S
        return max(0.0, MAX_PAUSE_S - max(0.0, late_s))


def _check_headers(request: Request, limit_bytes: int) -> None:
    """Refuse a wrong Content-Type or Content-Length before the first byte of the body is read."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != MEDIA_TYPE:
        raise MediaTypeError(
            f"the Content-Type is {content_type or 'missing'}; send the file's bytes as {MEDIA_TYPE}: "
            f"curl -H 'Content-Type: {MEDIA_TYPE}' --data-binary @weights.safetensors"
        )
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit_bytes:
        raise UploadTooLargeError(
            f"the file has {length} bytes; the limit set by SAFS_UPLOAD_LIMIT_BYTES is {limit_bytes}", field="body"
        )
