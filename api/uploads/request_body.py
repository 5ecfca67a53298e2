"""The body of a request with a file: its headers, its bytes for a worker thread, the errors of a broken connection."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from anyio import fail_after, from_thread
from fastapi import Request
from starlette.requests import ClientDisconnect

from api.errors import MediaTypeError, UploadError, UploadTooLargeError

MEDIA_TYPE = "application/octet-stream"
MAX_PAUSE_S = 60.0
"""Seconds a body may pause. A stalled upload would block others, since few run at the same time."""
MIN_BYTES_PER_S = 10_000
"""Minimum average speed after the first ``MAX_PAUSE_S``. A trickling upload would block others too."""
FILE_BODY = {
    "requestBody": {"required": True, "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}}
}
"""Description of such a body in the OpenAPI document."""


class BodyFromThread:
    """A request's body as a stream that a worker thread can read."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""
        self._started_s = time.monotonic()
        self._received = 0

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes; empty at the end. Raises TimeoutError if the body pauses or trickles."""
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


@contextmanager
def body_errors() -> Iterator[None]:
    """Turn a broken connection and a timeout into ``UploadError``."""
    try:
        yield
    except ClientDisconnect as error:
        raise UploadError("the upload is truncated: the connection was closed before the end of the file") from error
    except TimeoutError as error:
        raise UploadError(
            f"the upload timed out: no bytes arrived for {MAX_PAUSE_S:g} s, or fewer than {MIN_BYTES_PER_S:,} bytes "
            "per second on average; send it again over a faster connection"
        ) from error


def check_headers(request: Request, limit_bytes: int) -> None:
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
