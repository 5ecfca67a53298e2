"""Every error that the API raises on purpose, and how every error is answered. Only here are their HTTP codes known.

ApiError
├── UnauthorizedError     no key, or one that is not (any longer) a key of this service
├── ForbiddenError        a key without the scope that this needs
├── RateLimitedError      more requests a minute than the key may make
├── UploadError           an upload that is no well-formed safetensors file
├── UploadTooLargeError   an upload above ``SAFS_UPLOAD_LIMIT_BYTES``
├── MediaTypeError        a body that is not announced as what the endpoint takes
├── UnknownUploadError    ``model.weights`` names an upload that is not there
├── UnknownKindError      a kind that the catalog does not have
├── NotFinishedError      a result that is asked for before the job has ended
├── NoResultError         a result of a job that ended without one
├── RangeError            a Range header that no part of the file answers
├── BusyError             as much of something is under way as the service takes
└── NotReadyError         the service lacks something that it needs to work

The errors of ``safs`` and ``store`` carry a ``code`` too; ``KINDS`` says for each code how it is answered.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.exceptions import HTTPException


class ApiError(Exception):
    """Root of this package's errors; ``field`` is the dotted path of what was wrong, where there is one."""

    code = "internal_error"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class UnauthorizedError(ApiError):
    """No key, or one that is not (any longer) a key of this service."""

    code = "unauthorized"

    def __init__(self, message: str, *, token_given: bool = False) -> None:
        super().__init__(message)
        self.challenge = 'Bearer error="invalid_token"' if token_given else "Bearer"


class ForbiddenError(ApiError):
    """A key without the scope that this needs."""

    code = "forbidden"


class RateLimitedError(ApiError):
    """More requests a minute than the key may make."""

    code = "rate_limited"

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


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


class BusyError(ApiError):
    """As much of something is under way as the service takes."""

    code = "busy"


class NotReadyError(ApiError):
    """The service lacks something that it needs to work."""

    code = "not_ready"


class BodyTooLargeError(HTTPException):
    """A body above the limit. Of the framework's kind: it is raised while the framework reads the body."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(413, f"the body has more than the {limit_bytes} bytes that SAFS_BODY_LIMIT_BYTES allows")


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
    "unauthorized": Kind(401, "This needs an API key"),
    "forbidden": Kind(403, "The API key does not allow this"),
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
    "incompressible_model": Kind(422, "No filters or neurons of the model can be removed"),
    "unknown_upload": Kind(422, "The job names an upload that is not there"),
    "invalid_upload": Kind(422, "The upload is not a safetensors file"),
    "artifact_damaged": Kind(500, "The content is damaged on the disk; `safs scrub` there lists what is"),
    "idempotency_conflict": Kind(422, "The Idempotency-Key was sent with another job"),
    "rate_limited": Kind(429, "The key may not make so many requests a minute", retryable=True),
    "quota_exceeded": Kind(429, "The owner has as much as the limits allow", retryable=True),
    "internal_error": Kind(500, "Something broke inside the service"),
    "database_unavailable": Kind(503, "The database does not answer", retryable=True),
    "schema_missing": Kind(503, "The database has not been migrated", retryable=True),
    "not_ready": Kind(503, "The service is not ready", retryable=True),
    "busy": Kind(503, "The service has much to do", retryable=True),
    "storage_unavailable": Kind(503, "The object storage does not answer", retryable=True),
    "out_of_space": Kind(507, "The service has no disk space left", retryable=True),
}

CODES_OF_HTTP: Mapping[int, str] = {
    400: "malformed_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
}
"""The framework's own errors by their status."""
