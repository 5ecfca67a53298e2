"""Every error that the API answers, as problem details (RFC 9457). Only this file knows the HTTP codes of errors.

ApiError
├── UploadError           an upload that is no well-formed safetensors file
├── UploadTooLargeError   an upload above ``SAFS_UPLOAD_LIMIT_BYTES``
├── MediaTypeError        a body that is not announced as what the endpoint takes
├── UnknownUploadError    ``model.weights`` names an upload that is not there
├── UnknownKindError      a kind that the catalog does not have
├── NotFinishedError      a result that is asked for before the job has ended
├── NoResultError         a result of a job that ended without one
├── RangeError            a Range header that no part of the file answers
└── NotReadyError         the service lacks something that it needs to work

The errors of ``safs`` and ``store`` carry a ``code`` too; ``KINDS`` says for each code how it is answered.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from api.validation import FieldError, field_errors
from safs.errors import SafsError
from store.errors import StoreError

_log = logging.getLogger(__name__)

PROBLEM_JSON = "application/problem+json"
REQUEST_ID_HEADER = "X-Request-ID"


class ApiError(Exception):
    """Root of this package's errors; ``field`` is the dotted path of what was wrong, where there is one."""

    code = "internal_error"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class UploadError(ApiError):
    """An upload that is no well-formed safetensors file."""

    code = "invalid_upload"


class UploadTooLargeError(ApiError):
    """An upload above the limit."""

    code = "upload_too_large"


class MediaTypeError(ApiError):
    """A body that is not announced as what the endpoint takes."""

    code = "unsupported_media_type"


class UnknownUploadError(ApiError):
    """A job names an upload that is not there."""

    code = "unknown_upload"


class UnknownKindError(ApiError):
    """A kind that the catalog does not have."""

    code = "unknown_kind"


class NotFinishedError(ApiError):
    """A result that is asked for before the job has ended."""

    code = "job_not_finished"


class NoResultError(ApiError):
    """A result of a job that ended without one."""

    code = "no_result"


class RangeError(ApiError):
    """A Range header that no part of the file answers."""

    code = "range_not_satisfiable"

    def __init__(self, message: str, *, size_bytes: int) -> None:
        super().__init__(message)
        self.size_bytes = size_bytes


class NotReadyError(ApiError):
    """The service lacks something that it needs to work."""

    code = "not_ready"


class BodyTooLargeError(HTTPException):
    """A body above the limit. Of the framework's kind: it is raised while the framework reads the body."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(413, f"the body has more than the {limit_bytes} bytes that SAFS_BODY_LIMIT_BYTES allows")


class Problem(BaseModel):
    """What every error looks like (RFC 9457); programs go by ``code``."""

    type: str = Field(description="A URI of the kind of problem: `urn:safs:problem:` and the code.")
    title: str = Field(description="The kind of problem for people; the same for every occurrence.")
    status: int = Field(description="The HTTP status code.")
    detail: str = Field(description="What went wrong this time, and the way out.")
    code: str = Field(description="The kind of problem for programs; stable.")
    errors: list[FieldError] = Field(description="What is wrong with which part of the request.")
    request_id: str = Field(description="Names this request in the service's log; also in the X-Request-ID header.")
    retryable: bool = Field(description="Whether the same request may succeed later.")


@dataclass(frozen=True, slots=True)
class Kind:
    """How a code is answered."""

    status: int
    title: str
    retryable: bool = False


KINDS: Mapping[str, Kind] = {
    "malformed_json": Kind(400, "The body is not JSON"),
    "malformed_request": Kind(400, "The request cannot be read"),
    "invalid_page_token": Kind(400, "The page token is not one of this list"),
    "not_found": Kind(404, "There is nothing at this address"),
    "job_not_found": Kind(404, "There is no such job"),
    "trial_not_found": Kind(404, "There is no such trial"),
    "upload_not_found": Kind(404, "There is no such upload"),
    "artifact_not_found": Kind(404, "The content is no longer stored"),
    "unknown_kind": Kind(404, "The catalog has no such kind"),
    "no_result": Kind(404, "The job ended without a result"),
    "method_not_allowed": Kind(405, "This address does not take this method"),
    "job_not_finished": Kind(409, "The job has not ended yet", retryable=True),
    "incompatible_state": Kind(409, "The job's state does not allow this"),
    "body_too_large": Kind(413, "The body is too large"),
    "upload_too_large": Kind(413, "The upload is too large"),
    "unsupported_media_type": Kind(415, "The body has the wrong media type"),
    "range_not_satisfiable": Kind(416, "The file has no such range"),
    "invalid_request": Kind(422, "The request has values that are not allowed"),
    "invalid_value": Kind(422, "The request has text that cannot be stored"),
    "unknown_name": Kind(422, "A name is not known"),
    "invalid_spec": Kind(422, "Parts of the job do not fit each other"),
    "impossible_sparsity": Kind(422, "The network cannot have this sparsity"),
    "data_unavailable": Kind(422, "The data set is missing or malformed"),
    "invalid_weights": Kind(422, "The weights do not fit the architecture"),
    "untraceable_model": Kind(422, "The model cannot be traced"),
    "unknown_upload": Kind(422, "The job names an upload that is not there"),
    "invalid_upload": Kind(422, "The upload is not a safetensors file"),
    "internal_error": Kind(500, "Something broke inside the service"),
    "database_unavailable": Kind(503, "The database does not answer", retryable=True),
    "schema_missing": Kind(503, "The database has not been migrated", retryable=True),
    "not_ready": Kind(503, "The service is not ready", retryable=True),
    "out_of_space": Kind(507, "The service has no disk space left", retryable=True),
}

_CODES_OF_HTTP = {400: "malformed_request", 404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}


def add_error_handlers(app: FastAPI) -> None:
    """Makes ``app`` answer every error, its own and the framework's, as a problem."""
    app.add_exception_handler(ApiError, _answer_named)
    app.add_exception_handler(SafsError, _answer_named)
    app.add_exception_handler(StoreError, _answer_named)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Exception, _answer_unexpected)


def problem_responses(*codes: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's ``responses`` of an endpoint that may answer these codes, or the two that any may."""
    responses: dict[int | str, dict[str, Any]] = {}
    for code in (*codes, "database_unavailable", "internal_error"):
        kind = KINDS[code]
        example = _problem(code, kind.title + ".", request_id="0b6f4e6c8f0a4d0e9a55d5b0f6a1c2d3").model_dump()
        media = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}
        response = responses.setdefault(kind.status, {"description": "", "content": {PROBLEM_JSON: media}})
        response["description"] += f"`{code}`: {kind.title}. "
        response["content"][PROBLEM_JSON]["examples"][code] = {"summary": kind.title, "value": example}
    return responses


def respond(
    code: str,
    detail: str,
    request: Request,
    *,
    errors: Iterable[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The problem ``code`` as an answer to ``request``."""
    request_id = str(getattr(request.state, "request_id", ""))
    problem = _problem(code, detail, request_id=request_id, errors=errors)
    return Response(
        problem.model_dump_json(),
        status_code=problem.status,
        headers={**(headers or {}), REQUEST_ID_HEADER: request_id},
        media_type=PROBLEM_JSON,
    )


def _problem(code: str, detail: str, *, request_id: str, errors: Iterable[FieldError] = ()) -> Problem:
    kind = KINDS[code]
    return Problem(
        type=f"urn:safs:problem:{code}",
        title=kind.title,
        status=kind.status,
        detail=detail,
        code=code,
        errors=list(errors),
        request_id=request_id,
        retryable=kind.retryable,
    )


async def _answer_named(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError | SafsError | StoreError)
    if error.code not in KINDS:  # meant for runners, so it is a defect if it gets here
        return await _answer_unexpected(request, error)
    field = getattr(error, "field", None)
    errors = [FieldError(field=field, message=str(error))] if field else []
    headers = {"Content-Range": f"bytes */{error.size_bytes}"} if isinstance(error, RangeError) else None
    return respond(error.code, str(error), request, errors=errors, headers=headers)


async def _answer_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(one["type"] == "json_invalid" for one in found):
        return respond("malformed_json", f"the body is not JSON: {found[0]['ctx']['error']}", request)
    content_type = request.headers.get("content-type", "")
    if isinstance(error.body, bytes) and "json" not in content_type:
        detail = f"the body came as {content_type or 'no type'!r}; send it as application/json"
        return respond("unsupported_media_type", detail, request)
    errors = field_errors(found, error.body)
    more = f" (and {len(errors) - 1} more, see errors)" if len(errors) > 1 else ""
    return respond("invalid_request", f"{errors[0].field}: {errors[0].message}{more}", request, errors=errors)


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODES_OF_HTTP.get(error.status_code, "malformed_request")
    details = {
        "not_found": f"there is nothing at {request.url.path}; /docs lists what there is",
        "method_not_allowed": f"{request.url.path} does not take {request.method}; /docs lists what it takes",
    }
    return respond(code, details.get(code, error.detail), request, headers=error.headers)


async def _answer_unexpected(request: Request, error: Exception) -> Response:
    """Says nothing of the inside; the log has the rest under the request id."""
    request_id = getattr(request.state, "request_id", "")
    _log.error("request %s: %s %s broke", request_id, request.method, request.url.path, exc_info=error)
    detail = f"the service's log has more under request {request_id}"
    return respond("internal_error", detail, request)
