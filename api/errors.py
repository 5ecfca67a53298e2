"""Errors that the API raises, and the HTTP status of every error code.

ApiError
├── UnauthorizedError     no API key, or one that is unknown, expired or revoked
├── ForbiddenError        an API key without the required scope
├── RateLimitedError      more requests per minute than the key may make
├── UploadError           an upload that is not a valid file of weights or of a data set
├── UploadTooLargeError   an upload above ``SAFS_UPLOAD_LIMIT_BYTES``
├── MediaTypeError        a body whose Content-Type the endpoint does not accept
├── UnknownUploadError    a job names an upload that does not exist, or holds something else
├── UnknownKindError      a kind that the catalog does not have
├── NotFinishedError      a result requested before the job has ended
├── NoResultError         a result of a job that ended without one
├── RangeError            a Range header that the file cannot satisfy
├── BusyError             a concurrency limit is reached
└── NotReadyError         the service lacks something that it needs to work

Errors of ``safs`` and ``store`` have a ``code`` too; ``PROBLEM_TYPES`` maps each code to its status and title.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.exceptions import HTTPException


class ApiError(Exception):
    """Root of this package's errors. ``field`` is the dotted path of the invalid value, or None."""

    code = "internal_error"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class UnauthorizedError(ApiError):
    """The request has no API key, or one that is unknown, expired or revoked."""

    code = "unauthorized"

    def __init__(self, message: str, *, token_given: bool = False) -> None:
        super().__init__(message)
        self.challenge = 'Bearer error="invalid_token"' if token_given else "Bearer"


class ForbiddenError(ApiError):
    """The API key lacks the scope that the request needs."""

    code = "forbidden"


class RateLimitedError(ApiError):
    """The key has made more requests per minute than it may."""

    code = "rate_limited"

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UploadError(ApiError):
    """The upload is not a valid file of weights or of a data set."""

    code = "invalid_upload"


class UploadTooLargeError(ApiError):
    """The upload is larger than ``SAFS_UPLOAD_LIMIT_BYTES``."""

    code = "upload_too_large"


class MediaTypeError(ApiError):
    """The endpoint does not accept the body's Content-Type."""

    code = "unsupported_media_type"


class UnknownUploadError(ApiError):
    """A job names an upload that does not exist, or holds something else."""

    code = "unknown_upload"


class UnknownKindError(ApiError):
    """The catalog has no such kind."""

    code = "unknown_kind"


class NotFinishedError(ApiError):
    """The job has not ended, so it has no result yet."""

    code = "job_not_finished"


class NoResultError(ApiError):
    """The job ended without a result."""

    code = "no_result"


class RangeError(ApiError):
    """The file cannot satisfy the Range header."""

    code = "range_not_satisfiable"

    def __init__(self, message: str, *, size_bytes: int) -> None:
        super().__init__(message)
        self.size_bytes = size_bytes


class BusyError(ApiError):
    """A concurrency limit is reached and no slot came free in time."""

    code = "busy"


class NotReadyError(ApiError):
    """The service lacks something that it needs to work, such as a migrated database or disk space."""

    code = "not_ready"


class BodyTooLargeError(HTTPException):
    """The body is larger than ``SAFS_BODY_LIMIT_BYTES``.

    An ``HTTPException``, because it is raised while FastAPI reads the body and other exceptions would be wrapped there.
    """

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(413, f"the body is larger than {limit_bytes} bytes, the limit set by SAFS_BODY_LIMIT_BYTES")


@dataclass(frozen=True, slots=True)
class ProblemType:
    """The HTTP status and title of a problem."""

    status: int
    title: str
    retryable: bool = False
    """True if the same request can succeed later."""


PROBLEM_TYPES: Mapping[str, ProblemType] = {
    "malformed_json": ProblemType(400, "The body is not valid JSON"),
    "malformed_request": ProblemType(400, "The request cannot be parsed"),
    "invalid_page_token": ProblemType(400, "The page token does not belong to this list"),
    "unauthorized": ProblemType(401, "A valid API key is required"),
    "forbidden": ProblemType(403, "The API key lacks the required scope"),
    "not_found": ProblemType(404, "No resource exists at this address"),
    "job_not_found": ProblemType(404, "No such job exists"),
    "trial_not_found": ProblemType(404, "No such trial exists"),
    "upload_not_found": ProblemType(404, "No such upload exists"),
    "artifact_not_found": ProblemType(404, "The content is no longer stored"),
    "key_not_found": ProblemType(404, "No such key exists"),
    "unknown_kind": ProblemType(404, "The catalog has no such kind"),
    "no_result": ProblemType(404, "The job ended without a result"),
    "method_not_allowed": ProblemType(405, "This address does not support this method"),
    "job_not_finished": ProblemType(409, "The job has not ended yet", retryable=True),
    "incompatible_state": ProblemType(409, "The job's state does not allow this"),
    "body_too_large": ProblemType(413, "The body is too large"),
    "upload_too_large": ProblemType(413, "The upload is too large"),
    "unsupported_media_type": ProblemType(415, "The Content-Type is not supported"),
    "range_not_satisfiable": ProblemType(416, "The file has no such range"),
    "invalid_request": ProblemType(422, "The request has invalid values"),
    "invalid_value": ProblemType(422, "The request has text that cannot be stored"),
    "unknown_name": ProblemType(422, "A name is unknown"),
    "invalid_spec": ProblemType(422, "Parts of the job spec contradict each other"),
    "impossible_sparsity": ProblemType(422, "The network cannot have this sparsity"),
    "data_unavailable": ProblemType(422, "The data set is missing or malformed"),
    "invalid_weights": ProblemType(422, "The weights do not fit the architecture"),
    "untraceable_model": ProblemType(422, "The model cannot be traced by torch.fx"),
    "invalid_network": ProblemType(422, "The network is malformed"),
    "unsupported_operation": ProblemType(422, "The network uses an operation that is not supported"),
    "network_mismatch": ProblemType(422, "The network does not fit the data"),
    "network_too_large": ProblemType(422, "The network exceeds a limit"),
    "incompressible_model": ProblemType(422, "The model has no filters or neurons that can be removed"),
    "export_failed": ProblemType(422, "The result cannot be exported in this format"),
    "unknown_upload": ProblemType(422, "The job names an upload that does not exist"),
    "invalid_upload": ProblemType(422, "The upload is not a valid file of weights or of a data set"),
    "artifact_damaged": ProblemType(
        500, "The stored content is damaged; `safs scrub` on the service's machine lists damaged files"
    ),
    "idempotency_conflict": ProblemType(422, "The Idempotency-Key was already used for another job"),
    "rate_limited": ProblemType(429, "The key has made too many requests", retryable=True),
    "quota_exceeded": ProblemType(429, "The owner has reached a quota", retryable=True),
    "internal_error": ProblemType(500, "An unexpected error occurred in the service"),
    "missing_extra": ProblemType(501, "The service lacks a package that this format needs"),
    "database_unavailable": ProblemType(503, "The database is unavailable", retryable=True),
    "database_access_denied": ProblemType(503, "The database refuses the service's role", retryable=True),
    "schema_missing": ProblemType(503, "The database has not been migrated", retryable=True),
    "not_ready": ProblemType(503, "The service is not ready", retryable=True),
    "busy": ProblemType(503, "The service is busy", retryable=True),
    "storage_unavailable": ProblemType(503, "The object storage is unavailable", retryable=True),
    "output_unavailable": ProblemType(507, "The service has no disk space left for the export", retryable=True),
    "out_of_space": ProblemType(507, "The service has no disk space left", retryable=True),
}

CODES_BY_STATUS: Mapping[int, str] = {
    400: "malformed_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
}
"""Codes of the errors that FastAPI and Starlette raise, by status."""
