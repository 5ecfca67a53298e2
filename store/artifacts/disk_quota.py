"""A limit on the bytes in a folder, for machines whose disk other programs use as well."""

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from store.errors import StorageFull

MEASURE_EVERY_S = 60.0


class DiskQuota:
    """Refuses writes that would take the folder beyond ``limit_bytes``.

    The folder is measured by walking over it: at most once a minute, and again before a write is refused. So bytes
    written by other processes are counted within a minute.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder, self._limit_bytes = folder, limit_bytes
        self._lock = threading.Lock()
        self._used_bytes = 0
        self._measured_s = -float("inf")

    def take(self, size_bytes: int) -> None:
        """Count bytes that are about to be written; raises ``StorageFull`` if they do not fit."""
        with self._lock:
            if time.monotonic() - self._measured_s > MEASURE_EVERY_S:
                self._measure()
            if self._used_bytes + size_bytes > self._limit_bytes:
                self._measure()
            if self._used_bytes + size_bytes > self._limit_bytes:
                raise StorageFull(
                    f"{self._folder} holds {self._used_bytes} bytes, and SAFS_ARTIFACTS_LIMIT_BYTES allows "
                    f"{self._limit_bytes}: {size_bytes} more do not fit. Raise the limit, or free space with "
                    "`safs collect` (SAFS_RETENTION_DAYS, SAFS_OUTPUTS_DAYS)"
                )
            self._used_bytes += size_bytes

    def _measure(self) -> None:
        self._used_bytes = _size_bytes(self._folder)
        self._measured_s = time.monotonic()


def _size_bytes(folder: str | Path) -> int:
    total = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                total += _size_bytes(entry.path)
                continue
            with suppress(FileNotFoundError):  # renamed or deleted since the listing
                total += entry.stat(follow_symlinks=False).st_size
    return total
