"""Error responses of the API as problem details (RFC 9457)."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from api.errors import CODES_BY_STATUS, PROBLEM_TYPES, ApiError, RangeError, RateLimitedError, UnauthorizedError
from api.security_headers import SECURITY_HEADERS
from api.validation import FieldError, field_errors
from safs.errors import SafsError
from safs.spec.job import JobSpec
from store.errors import QuotaExceeded, StoreError

_log = logging.getLogger(__name__)

PROBLEM_JSON = "application/problem+json"
REQUEST_ID_HEADER = "X-Request-ID"
RETRY_AFTER_S = 5
"""Retry-After of retryable problems that know no better time."""

_HEADERS: Mapping[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"description": "`Bearer`.", "schema": {"type": "string"}}},
    429: {
        "Retry-After": {"description": "Seconds until the request can be sent again.", "schema": {"type": "integer"}}
    },
}


class Problem(BaseModel):
    """Body of every error response (RFC 9457). Programs should test `code`."""

    type: str = Field(description="URI of the problem type: `urn:safs:problem:` followed by the code.")
    title: str = Field(description="Problem type for people; the same for every occurrence.")
    status: int = Field(description="HTTP status code.")
    detail: str = Field(description="Description of this occurrence, and how to fix it.")
    code: str = Field(description="Problem type for programs; stable across versions.")
    errors: list[FieldError] = Field(
        description="Invalid fields or parameters of the request; empty if no single field is invalid."
    )
    request_id: str = Field(description="Id of this request in the service's log; also in the X-Request-ID header.")
    retryable: bool = Field(description="True if the same request can succeed later.")


def add_error_handlers(app: FastAPI) -> None:
    """Make ``app`` respond to every error, including those of FastAPI, with a problem."""
    app.add_exception_handler(ApiError, respond_to_error)
    app.add_exception_handler(SafsError, respond_to_error)
    app.add_exception_handler(StoreError, respond_to_error)
    app.add_exception_handler(RequestValidationError, _respond_to_invalid_request)
    app.add_exception_handler(HTTPException, _respond_to_http_error)
    app.add_exception_handler(Exception, respond_to_unexpected_error)


def problem_responses(*codes: str, needs_key: bool = True) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's ``responses`` of an endpoint for these codes and those that every endpoint can return."""
    responses: dict[int | str, dict[str, Any]] = {}
    key_codes = ("unauthorized", "forbidden", "rate_limited") if needs_key else ()
    for code in (*codes, *key_codes, "database_unavailable", "database_access_denied", "internal_error"):
        kind = PROBLEM_TYPES[code]
        example = _problem(code, kind.title + ".", request_id="0b6f4e6c8f0a4d0e9a55d5b0f6a1c2d3").model_dump()
        media = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}
        response = responses.setdefault(kind.status, {"description": "", "content": {PROBLEM_JSON: media}})
        if kind.status in _HEADERS:
            response["headers"] = _HEADERS[kind.status]
        response["description"] += f"`{code}`: {kind.title}. "
        response["content"][PROBLEM_JSON]["examples"][code] = {"summary": kind.title, "value": example}
    return responses


def problem_response(
    code: str,
    detail: str,
    request: Request,
    *,
    errors: Iterable[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The problem ``code`` as a response to ``request``."""
    request_id: str = request.state.request_id
    problem = _problem(code, detail, request_id=request_id, errors=errors)
    retry_after = {"Retry-After": str(RETRY_AFTER_S)} if problem.retryable else {}
    return Response(
        problem.model_dump_json(),
        status_code=problem.status,
        # Responses to unexpected errors do not pass the middleware that adds the security headers to others.
        headers={**SECURITY_HEADERS, **retry_after, **(headers or {}), REQUEST_ID_HEADER: request_id},
        media_type=PROBLEM_JSON,
    )


def _problem(code: str, detail: str, *, request_id: str, errors: Iterable[FieldError] = ()) -> Problem:
    kind = PROBLEM_TYPES[code]
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


async def respond_to_error(request: Request, error: Exception) -> Response:
    """The response to an error that this project raises on purpose."""
    assert isinstance(error, ApiError | SafsError | StoreError)
    if error.code not in PROBLEM_TYPES:  # an error for runners, which must not occur in the API
        return await respond_to_unexpected_error(request, error)
    if isinstance(error, StoreError) and PROBLEM_TYPES[error.code].status >= 500:
        _log.error("request %s: %s", request.state.request_id, error)
        return problem_response(error.code, f"{PROBLEM_TYPES[error.code].title}; {_see_log(request)}", request)
    field = getattr(error, "field", None)
    errors = [FieldError(field=field, message=str(error))] if field else []
    return problem_response(error.code, str(error), request, errors=errors, headers=_headers_of(error))


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


async def _respond_to_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(one["type"] == "json_invalid" for one in found):
        return problem_response("malformed_json", f"the body is not valid JSON: {found[0]['ctx']['error']}", request)
    content_type = request.headers.get("content-type", "")
    if isinstance(error.body, bytes) and "json" not in content_type:
        detail = f"the Content-Type is {content_type or 'missing'}; send the body as application/json"
        return problem_response("unsupported_media_type", detail, request)
    errors = field_errors(found, error.body, _body_type(request))
    more = f" (and {len(errors) - 1} more, see errors)" if len(errors) > 1 else ""
    return problem_response("invalid_request", f"{errors[0].field}: {errors[0].message}{more}", request, errors=errors)


def _body_type(request: Request) -> type[BaseModel]:
    """The type of the request's body; a job's if the endpoint has none."""
    body = getattr(request.scope.get("route"), "body_field", None)
    annotation = None if body is None else body.field_info.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else JobSpec


async def _respond_to_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = CODES_BY_STATUS.get(error.status_code, "malformed_request")
    details = {
        "not_found": f"no resource exists at {request.url.path}; /docs lists all addresses",
        "method_not_allowed": f"{request.url.path} does not support {request.method}; /docs lists the methods",
    }
    headers = dict(error.headers or {})
    if code == "method_not_allowed" and (documented := _methods(request)):
        headers["Allow"] = ", ".join(sorted(documented))
    return problem_response(code, details.get(code, error.detail), request, headers=headers)


def _methods(request: Request) -> set[str]:
    """The methods of the request's path: those in the OpenAPI document, and HEAD wherever GET is.

    Starlette names those of the first route alone.
    """
    paths: Mapping[str, Mapping[str, Any]] = request.app.openapi()["paths"]
    fitting = [found for path, found in paths.items() if compile_path(path)[0].match(request.url.path)]
    methods = {method.upper() for found in fitting for method in found}
    return methods | {"HEAD"} if "GET" in methods else methods


async def respond_to_unexpected_error(request: Request, error: Exception) -> Response:
    """A response without internals; the log has the traceback under the request id."""
    _log.error(
        "request %s: %s %s failed unexpectedly",
        request.state.request_id,
        request.method,
        request.url.path,
        exc_info=error,
    )
    return problem_response("internal_error", f"an unexpected error occurred; {_see_log(request)}", request)


def _see_log(request: Request) -> str:
    """A pointer to the log, in place of details for the operator alone, such as the database's address."""
    return f"the service's log has the details under request id {request.state.request_id}"
