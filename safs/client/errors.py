"""What can go wrong between a client and the service.

ServiceError   the service refused a request, or could not be reached
JobFailed      the job that was waited for ended without a result
"""

from typing import Any


class ServiceError(Exception):
    """The service refused a request, or could not be reached.

    Attributes:
        code: the problem's stable code; ``unreachable`` where no answer came, ``corrupt_download`` where what came is
            not what was sent, ``invalid_key`` where the API key cannot be one, ``invalid_url`` where the address
            cannot, ``http_<status>`` where the answer came from something else than the service.
        errors: ``field`` and ``message`` of each wrong part of the request.
        status: the HTTP status, None where no answer came.
        retry_after_s: after so many seconds it is worth trying again; None where the service did not say.
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
        """Whether the service, or a proxy before it, may answer better soon."""
        if self.code in ("quota_exceeded", "artifact_damaged"):  # not soon
            return False
        return self.code == "unreachable" or (self.status is not None and (self.status >= 500 or self.status == 429))


class JobFailed(Exception):
    """The job that was waited for ended without a result: it failed or was cancelled.

    Attributes:
        state: ``failed`` or ``cancelled``.
        reason: one sentence; None if it was cancelled.
        stage: where it ended, if a stage had begun.
    """

    def __init__(self, job_id: str, state: str, *, reason: str | None, stage: str | None) -> None:
        self.job_id = job_id
        self.state = state
        self.reason = reason
        self.stage = stage
        where = f" in stage {stage}" if stage else ""
        why = f": {reason}" if reason else ""
        super().__init__(f"job {job_id} is {state}{where}{why}")
