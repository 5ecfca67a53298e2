"""JSON responses, conditional requests and ranges: ETag, If-None-Match, Range (RFC 9110)."""

import re
from hashlib import sha256
from typing import Any

from fastapi import Request, Response

from api.errors import RangeError
from api.serializers import dump

_RANGE = re.compile(r"(\d{1,18})-(\d{1,18})?|-(\d{1,18})")


def not_modified(request: Request, etag: str) -> bool:
    """True if If-None-Match says that the client already has the version ``etag`` (weak comparison)."""
    given = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    return "*" in given or etag.removeprefix("W/") in given


def as_json(body: Any) -> Response:
    """A JSON response with ``body``, which is not validated again as FastAPI would do."""
    return Response(dump(body), media_type="application/json")


def versioned_json(request: Request, body: Any, headers: dict[str, str]) -> Response:
    """A JSON response with an ETag computed from its bytes, or 304 if the client already has this version."""
    return versioned(request, dump(body), "application/json", headers)


def versioned(request: Request, content: bytes, media_type: str, headers: dict[str, str]) -> Response:
    """A response with an ETag computed from ``content``, or 304 if the client already has this version."""
    etag = f'"{sha256(content).hexdigest()[:32]}"'
    headers = {**headers, "ETag": etag, "Cache-Control": "no-cache"}
    if not_modified(request, etag):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=media_type, headers=headers)


def check_range(request: Request, file: Response, size_bytes: int) -> None:
    """Check the Range header of a request for ``file``.

    A range is ignored if If-Range matches neither the ETag nor the Last-Modified of the response.

    Raises:
        RangeError: the header is malformed, or the file of ``size_bytes`` bytes does not have this range.
    """
    wanted, version = request.headers.get("range"), request.headers.get("if-range")
    if wanted is None or version not in (None, file.headers["etag"], file.headers["last-modified"]):
        return
    unit, _, ranges = wanted.partition("=")
    if unit.strip().lower() != "bytes" or not all(_fits(one.strip(), size_bytes) for one in ranges.split(",")):
        raise RangeError(
            f"the file has {size_bytes} bytes and no range {wanted!r:.100}; send a header such as "
            "'Range: bytes=0-1023'",
            size_bytes=size_bytes,
        )


def _fits(one: str, size_bytes: int) -> bool:
    found = _RANGE.fullmatch(one)
    if found is None:
        return False
    first, last, suffix = found.groups()
    if suffix is not None:
        return int(suffix) > 0 and size_bytes > 0
    return int(first) < size_bytes and (last is None or int(last) >= int(first))
