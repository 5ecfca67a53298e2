"""Uploads: dense weights that jobs start from."""

import time
from collections.abc import AsyncIterator
from typing import Annotated

from anyio import fail_after, from_thread, to_thread
from fastapi import APIRouter, Query, Request
from starlette.requests import ClientDisconnect

from api.deps import Services, Use, Who
from api.errors import MediaTypeError, UploadError, UploadTooLargeError
from api.gate.access import Caller
from api.problems import problem_responses
from api.schemas import UploadView
from api.uploads.safetensors_stream import Readable, SafetensorsStream
from store import uploads
from store.crash_points import reach
from store.records import Upload

MEDIA_TYPE = "application/octet-stream"
LONGEST_PAUSE_S = 60.0
"""Of a body that is under way; one that stands still would keep others out, since few are taken at once."""
LEAST_BYTES_PER_S = 10_000
"""On average, after the first ``LONGEST_PAUSE_S``; one that only just moves would keep others out as well."""

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])


@router.post(
    "",
    status_code=201,
    summary="Upload dense weights (safetensors)",
    responses=problem_responses(
        "upload_too_large",
        "unsupported_media_type",
        "invalid_upload",
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
async def upload(
    use: Use,
    who: Who,
    request: Request,
    filename: Annotated[
        str, Query(min_length=1, max_length=200, description="What the file is called; for people.")
    ] = "weights.safetensors",
) -> UploadView:
    """Takes a state dict as raw bytes. Only safetensors, which hold no code, with numbers that are finite; what is
    refused leaves nothing behind. A job names it by its `id` in `model.weights`."""
    _check_headers(request, use.settings.upload_limit_bytes)
    async with use.uploads.place(who.owner):
        body = _BodyFromThread(request.stream())
        created = await to_thread.run_sync(_keep, use, who, body, filename, limiter=use.upload_threads)
    return UploadView.of(created)


@router.get("/{upload_id}", summary="Look at an upload", responses=problem_responses("upload_not_found"))
def get_upload(use: Use, who: Who, upload_id: str) -> UploadView:
    """Name, size and hash of the file, and how many tensors it holds."""
    return UploadView.of(use.database.query(lambda tx: uploads.get(tx, upload_id, who.sees)))


def _keep(use: Services, who: Caller, body: Readable, filename: str) -> Upload:
    try:
        with SafetensorsStream(body, limit_bytes=use.settings.upload_limit_bytes) as incoming:
            stored = use.artifacts.put(incoming)
    except ClientDisconnect as error:
        raise UploadError("the upload is truncated: the connection ended before the file did") from error
    except TimeoutError as error:
        raise UploadError(
            f"the upload is given up: for {LONGEST_PAUSE_S:g} s nothing of it came, or less than "
            f"{LEAST_BYTES_PER_S:,} bytes a second"
        ) from error
    with use.database.begin() as tx:
        created = uploads.create(tx, stored, filename, incoming.tensors, who.owner)
        reach("upload.before_commit")
    reach("upload.after_commit")
    return created


class _BodyFromThread:
    """A request's body as a stream for a worker thread."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""
        self._began_s = time.monotonic()
        self._received = 0

    def read(self, size: int, /) -> bytes:
        if not self._rest:
            self._rest = from_thread.run(self._next)
        chunk, self._rest = self._rest[:size], self._rest[size:]
        return chunk

    async def _next(self) -> bytes:
        with fail_after(self._patience_s()):
            async for chunk in self._chunks:
                if chunk:
                    self._received += len(chunk)
                    return chunk
        return b""

    def _patience_s(self) -> float:
        """How long the next bytes may take."""
        late_s = time.monotonic() - self._began_s - self._received / LEAST_BYTES_PER_S
        return max(0.0, LONGEST_PAUSE_S - max(0.0, late_s))


def _check_headers(request: Request, limit_bytes: int) -> None:
    """Refuses what can be refused before the first byte of the body is read."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != MEDIA_TYPE:
        raise MediaTypeError(
            f"send the file's bytes as {MEDIA_TYPE}, not as {content_type or 'no type'}: "
            f"curl -H 'Content-Type: {MEDIA_TYPE}' --data-binary @weights.safetensors"
        )
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit_bytes:
        raise UploadTooLargeError(
            f"the file has {length} bytes; SAFS_UPLOAD_LIMIT_BYTES allows {limit_bytes}", field="body"
        )
