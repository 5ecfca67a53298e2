"""Errors as problem details (RFC 9457): what every error of the API looks like on the wire."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from api.errors import CODES_OF_HTTP, KINDS, ApiError, RangeError, RateLimitedError, UnauthorizedError
from api.security_headers import SECURITY_HEADERS
from api.validation import FieldError, field_errors
from safs.errors import SafsError
from store.errors import QuotaExceeded, StoreError

_log = logging.getLogger(__name__)

PROBLEM_JSON = "application/problem+json"
REQUEST_ID_HEADER = "X-Request-ID"
RETRY_AFTER_S = 5


_HEADERS: Mapping[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"description": "`Bearer`.", "schema": {"type": "string"}}},
    429: {"Retry-After": {"description": "Seconds until it is worth trying again.", "schema": {"type": "integer"}}},
}


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


def add_error_handlers(app: FastAPI) -> None:
    """Makes ``app`` answer every error, its own and the framework's, as a problem."""
    app.add_exception_handler(ApiError, answer_named)
    app.add_exception_handler(SafsError, answer_named)
    app.add_exception_handler(StoreError, answer_named)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Exception, _answer_unexpected)


def problem_responses(*codes: str, needs_key: bool = True) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's ``responses`` of an endpoint that may answer these codes, or those that any may."""
    responses: dict[int | str, dict[str, Any]] = {}
    refused = ("unauthorized", "forbidden", "rate_limited") if needs_key else ()
    for code in (*codes, *refused, "database_unavailable", "internal_error"):
        kind = KINDS[code]
        example = _problem(code, kind.title + ".", request_id="0b6f4e6c8f0a4d0e9a55d5b0f6a1c2d3").model_dump()
        media = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}
        response = responses.setdefault(kind.status, {"description": "", "content": {PROBLEM_JSON: media}})
        if kind.status in _HEADERS:
            response["headers"] = _HEADERS[kind.status]
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
    request_id: str = request.state.request_id
    problem = _problem(code, detail, request_id=request_id, errors=errors)
    again = {"Retry-After": str(RETRY_AFTER_S)} if problem.retryable else {}
    return Response(
        problem.model_dump_json(),
        status_code=problem.status,
        # Also here: what breaks unexpectedly is answered outside of the middleware that adds them elsewhere.
        headers={**SECURITY_HEADERS, **again, **(headers or {}), REQUEST_ID_HEADER: request_id},
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


async def answer_named(request: Request, error: Exception) -> Response:
    """The answer to an error of ours."""
    assert isinstance(error, ApiError | SafsError | StoreError)
    if error.code not in KINDS:  # meant for runners, so it is a defect if it gets here
        return await _answer_unexpected(request, error)
    if isinstance(error, StoreError) and KINDS[error.code].status >= 500:
        _log.error("request %s: %s", request.state.request_id, error)
        return respond(error.code, f"{KINDS[error.code].title}; {_see_log(request)}", request)
    field = getattr(error, "field", None)
    errors = [FieldError(field=field, message=str(error))] if field else []
    return respond(error.code, str(error), request, errors=errors, headers=_headers_of(error))


def _headers_of(error: Exception) -> dict[str, str]:
    match error:
        case RangeError():
            return {"Content-Range": f"bytes */{error.size_bytes}"}
        case UnauthorizedError():
            return {"WWW-Authenticate": error.challenge}
        case RateLimitedError() | QuotaExceeded():
            return {"Retry-After": str(error.retry_after_s)}
        case _:
            return {}


async def _answer_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(one["type"] == "json_invalid" for one in found):
        return respond("malformed_json", f"the body is not JSON: {found[0]['ctx']['error']}", request)
    content_type = request.headers.get("content-type", "")
    if isinstance(error.body, bytes) and "json" not in content_type:
        detail = f"the body came as {content_type or 'no type'}; send it as application/json"
        return respond("unsupported_media_type", detail, request)
    errors = field_errors(found, error.body)
    more = f" (and {len(errors) - 1} more, see errors)" if len(errors) > 1 else ""
    return respond("invalid_request", f"{errors[0].field}: {errors[0].message}{more}", request, errors=errors)


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = CODES_OF_HTTP.get(error.status_code, "malformed_request")
    details = {
        "not_found": f"there is nothing at {request.url.path}; /docs lists what there is",
        "method_not_allowed": f"{request.url.path} does not take {request.method}; /docs lists what it takes",
    }
    headers = dict(error.headers or {})
    if code == "method_not_allowed" and (documented := _methods(request)):
        headers["Allow"] = ", ".join(sorted(documented))
    return respond(code, details.get(code, error.detail), request, headers=headers)


def _methods(request: Request) -> set[str]:
    """What the address takes, by the document: the framework names the methods of the first endpoint there alone."""
    paths: Mapping[str, Mapping[str, Any]] = request.app.openapi()["paths"]
    fitting = [found for path, found in paths.items() if compile_path(path)[0].match(request.url.path)]
    return {method.upper() for found in fitting for method in found}


async def _answer_unexpected(request: Request, error: Exception) -> Response:
    """Says nothing of the inside; the log has the rest under the request id."""
    _log.error("request %s: %s %s broke", request.state.request_id, request.method, request.url.path, exc_info=error)
    return respond("internal_error", f"something broke; {_see_log(request)}", request)


def _see_log(request: Request) -> str:
    """Instead of what only the operator should read, such as the database's address."""
    return f"the service's log has more under request {request.state.request_id}"
