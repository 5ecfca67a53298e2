"""Errors of the client.

ServiceError   the service refused a request, or could not be reached
JobFailed      a job ended without a result
"""

from typing import Any


class ServiceError(Exception):
    """The service refused a request, or could not be reached.

    Attributes:
        code: stable code of the problem. The client's own codes are ``unreachable`` (no response),
            ``corrupt_download`` (checksum mismatch), ``invalid_key``, ``invalid_url``, ``invalid_environment`` (a
            variable of proxies or certificates), ``invalid_spec`` (a value that JSON does not have), ``invalid_data``
            (data that cannot be packed) and ``http_<status>`` (a response that is not from the service, such as a
            proxy's).
        errors: ``field`` and ``message`` of each wrong part of the request.
        status: HTTP status; None without a response.
        retry_after_s: seconds after which a retry may succeed; None if the service gave none.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: list[dict[str, Any]] | None = None,
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.errors = errors or []
        self.status = status
        self.retry_after_s = retry_after_s

    @property
    def may_pass(self) -> bool:
        """True if a retry may succeed soon."""
        if self.code in ("quota_exceeded", "artifact_damaged"):  # not soon
            return False
        return self.code == "unreachable" or (self.status is not None and (self.status >= 500 or self.status == 429))


class JobFailed(Exception):
    """A job ended without a result: it failed or was cancelled.

    Attributes:
        state: ``failed`` or ``cancelled``.
        reason: one sentence; None if it was cancelled.
        stage: stage in which it ended; None before the first.
    """

    def __init__(self, job_id: str, state: str, *, reason: str | None, stage: str | None) -> None:
        self.job_id = job_id
        self.state = state
        self.reason = reason
        self.stage = stage
        where = f" in stage {stage}" if stage else ""
        why = f": {reason}" if reason else ""
        super().__init__(f"job {job_id} is {state}{where}{why}")
