"""The copies that one machine has of what is in object storage: those used least recently make room for others."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from store.artifacts.folder_lock import FolderLock
from store.artifacts.object_storage import Remote
from store.errors import StorageUnavailable

IN_USE_S = 3600.0
"""Who was given a copy's path opens it within this time, and a file that is open can be read whatever becomes of it."""
LOOK_AGAIN_S = 60.0
"""The folder is walked over so often at most: other processes write to it as well."""
PATIENCE_S = 1.0
LOCK = ".cache-lock"

_SUBFOLDER = re.compile(r"[0-9a-f]{2}")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class _Copy:
    path: Path
    size_bytes: int
    used_at_s: float
    """Since 1970."""


class Cache:
    """A folder of copies, by their sha256.

    The time of a copy's last use is its file's time of access, set by us whatever the file system does of itself.

    Args:
        limit_bytes: what the copies may take. None evicts nothing, and so does what is in use, or what the storage
            has not: then they take more.
    """

    def __init__(self, folder: Path, limit_bytes: int | None, remote: Remote) -> None:
        self._folder, self._limit_bytes, self._remote = folder, limit_bytes, remote
        # Not the lock of those who write: a backup holds that for hours, and fetches everything meanwhile.
        self._lock = FolderLock(folder, LOCK)
        self._looked_s = -float("inf")
        self._grown_bytes = 0
        self._room_bytes = 0

    def use(self, path: Path) -> bool:
        """Whether there is a copy at ``path``; then it counts as used now, and stays for ``IN_USE_S`` seconds."""
        if not path.is_file():
            return False
        with self._lock.writing():
            try:
                os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
            except FileNotFoundError:
                return False
            except PermissionError:  # another user's, as of a command that root has run
                return True
        return True

    def grew(self, size_bytes: int) -> None:
        """Tells that a copy has come in, and evicts others if there are too many."""
        if self._limit_bytes is None:
            return
        self._grown_bytes += size_bytes
        if self._grown_bytes > self._room_bytes or time.monotonic() - self._looked_s > LOOK_AGAIN_S:
            self._make_room(self._limit_bytes)

    def _make_room(self, limit_bytes: int) -> None:
        copies = sorted(self._copies(), key=lambda copy: copy.used_at_s)
        taken_bytes = sum(copy.size_bytes for copy in copies)
        for copy in copies:
            if taken_bytes <= limit_bytes or _in_use(copy.used_at_s):
                break
            if self._evict(copy):
                taken_bytes -= copy.size_bytes
        self._looked_s, self._grown_bytes = time.monotonic(), 0
        self._room_bytes = max(
            limit_bytes - taken_bytes, limit_bytes // 100
        )  # Or a full folder would be walked always.

    def _evict(self, copy: _Copy) -> bool:
        try:
            if self._remote.size_of(copy.path.name) != copy.size_bytes:
                return False
        except StorageUnavailable:
            return False
        with self._lock.deleting(PATIENCE_S) as alone, suppress(FileNotFoundError):
            if alone and not _in_use(_used_at_s(copy.path.stat())):
                copy.path.unlink()
                return True
        return False

    def _copies(self) -> Iterator[_Copy]:
        for subfolder in self._folder.iterdir():
            if not _SUBFOLDER.fullmatch(subfolder.name):
                continue
            for path in subfolder.iterdir():
                with suppress(FileNotFoundError):  # evicted by another process meanwhile
                    if _HASH.fullmatch(path.name):
                        found = path.stat()
                        yield _Copy(path, found.st_size, _used_at_s(found))


def _used_at_s(found: os.stat_result) -> float:
    return max(found.st_atime, found.st_mtime)


def _in_use(used_at_s: float) -> bool:
    return used_at_s > time.time() - IN_USE_S
