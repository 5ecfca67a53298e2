"""One machine's cache of the files in object storage; the least recently used copies are evicted first."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from store.artifacts.folder_lock import FolderLock
from store.artifacts.object_storage import ObjectStorage
from store.errors import StorageUnavailable

IN_USE_S = 3600.0
"""Seconds a copy is protected from eviction after its path was handed out.

The caller opens the file within this time. An open file stays readable after it has been deleted.
"""
MEASURE_EVERY_S = 60.0
"""Seconds after which the folder is measured again when a copy is added, since other processes write to it as well."""
LOCK_TIMEOUT_S = 1.0
"""Seconds to wait for the exclusive lock before one eviction is given up."""
LOCK = ".cache-lock"

_SUBFOLDER = re.compile(r"[0-9a-f]{2}")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class _Copy:
    path: Path
    size_bytes: int
    used_at_s: float
    """Time of the last use, in seconds since 1970."""


class LocalCache:
    """A folder of copies, named by their sha256.

    The time of a copy's last use is the access time of its file. We set it ourselves, since many file systems do not.

    Args:
        limit_bytes: limit on the size of all copies; None for no limit. Copies that are in use, or that the object
            storage does not have, are never evicted, so the cache can grow beyond the limit.
    """

    def __init__(self, folder: Path, limit_bytes: int | None, object_storage: ObjectStorage) -> None:
        self._folder, self._limit_bytes, self._object_storage = folder, limit_bytes, object_storage
        # Not the lock of the artifact store: a backup holds that for hours, and fetches files in the meantime.
        self._lock = FolderLock(folder, LOCK)
        self._measured_s = -float("inf")
        self._added_bytes = 0
        self._room_bytes = 0

    def touch(self, path: Path) -> bool:
        """Mark the copy at ``path`` as used now; False if there is no copy.

        The copy is not evicted for the next ``IN_USE_S`` seconds.
        """
        if not path.is_file():
            return False
        with self._lock.shared():
            try:
                os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
            except FileNotFoundError:
                return False
            except PermissionError:  # owned by another user, such as root
                return True
        return True

    def added(self, size_bytes: int) -> None:
        """Note that a copy of ``size_bytes`` was added, and evict others if the limit is exceeded."""
        if self._limit_bytes is None:
            return
        self._added_bytes += size_bytes
        if self._added_bytes > self._room_bytes or time.monotonic() - self._measured_s > MEASURE_EVERY_S:
            self._evict_down_to(self._limit_bytes)

    def _evict_down_to(self, limit_bytes: int) -> None:
        copies = sorted(self._copies(), key=lambda copy: copy.used_at_s)
        taken_bytes = sum(copy.size_bytes for copy in copies)
        for copy in copies:
            if taken_bytes <= limit_bytes or _in_use(copy.used_at_s):
                break
            if self._evict(copy):
                taken_bytes -= copy.size_bytes
        self._measured_s, self._added_bytes = time.monotonic(), 0
        # At least 1%, or a full folder would be measured at every call.
        self._room_bytes = max(limit_bytes - taken_bytes, limit_bytes // 100)

    def _evict(self, copy: _Copy) -> bool:
        try:
            if self._object_storage.size_of(copy.path.name) != copy.size_bytes:
                return False
        except StorageUnavailable:
            return False
        with self._lock.exclusive(LOCK_TIMEOUT_S) as locked, suppress(FileNotFoundError):
            if locked and not _in_use(_used_at_s(copy.path.stat())):
                copy.path.unlink()
                return True
        return False

    def _copies(self) -> Iterator[_Copy]:
        for subfolder in self._folder.iterdir():
            if not _SUBFOLDER.fullmatch(subfolder.name):
                continue
            for path in subfolder.iterdir():
                with suppress(FileNotFoundError):  # evicted by another process since the listing
                    if _HASH.fullmatch(path.name):
                        found = path.stat()
                        yield _Copy(path, found.st_size, _used_at_s(found))


def _used_at_s(found: os.stat_result) -> float:
    return max(found.st_atime, found.st_mtime)


def _in_use(used_at_s: float) -> bool:
    return used_at_s > time.time() - IN_USE_S
