"""The reason of a failed job, as its submitter sees it."""

import errno
import os
import tempfile
from pathlib import Path

from safs.errors import SafsError, legible
from store.errors import StorageFull, StoreError
from store.records import JobError


def job_error(error: Exception, stage: str | None) -> JobError:
    """Describe ``error`` in one sentence. An unexpected exception is named by its type and first line.

    Args:
        stage: the stage that failed; None before the first stage.
    """
    code, message = _code_and_message(error)
    return JobError(code, legible(message), stage)


def _code_and_message(error: Exception) -> tuple[str, str]:
    if isinstance(error, SafsError | StoreError):
        return error.code, str(error)
    if _is_out_of_space(error):
        file = getattr(error, "filename", None)
        folder = Path(file).parent if file else Path(tempfile.gettempdir())
        return StorageFull.code, f"no space is left in {folder}, or its quota is used up. Free some."
    first_line = str(error).strip().partition("\n")[0].rstrip(".")
    what = f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
    return "internal_error", f"{what}. The runner's log has the details."


def _is_out_of_space(error: Exception) -> bool:
    """Return True if a write failed because the disk or quota is full. safetensors reports that by text only."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return full or any(f"{os.strerror(code)} (os error {code})" in str(error) for code in (errno.ENOSPC, errno.EDQUOT))
