"""Why a job failed, for whoever submitted it."""

import errno
import os
import tempfile
from pathlib import Path

from safs.errors import SafsError, legible
from store.errors import StorageFull, StoreError
from store.records import JobError


def job_error(error: Exception, stage: str | None) -> JobError:
    """Why the job failed, in one sentence; an error that is not ours is named by its type and first line."""
    code, message = _told(error)
    return JobError(code, legible(message), stage)


def _told(error: Exception) -> tuple[str, str]:
    if isinstance(error, SafsError | StoreError):
        return error.code, str(error)
    if _out_of_space(error):
        file = getattr(error, "filename", None)
        folder = Path(file).parent if file else Path(tempfile.gettempdir())
        return StorageFull.code, f"no space is left in {folder}, or its quota is used up. Free some."
    first_line = str(error).strip().partition("\n")[0].rstrip(".")
    what = f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
    return "internal_error", f"{what}. The runner's log has the details."


def _out_of_space(error: Exception) -> bool:
    """Whether a file could not be written for lack of room; safetensors tells it by a text alone."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return full or any(f"{os.strerror(code)} (os error {code})" in str(error) for code in (errno.ENOSPC, errno.EDQUOT))
