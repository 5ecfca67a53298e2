"""A readers-writer lock on a folder of artifacts: shared by those who add files, exclusive for one who deletes."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = ".lock"

_RETRY_S = 0.02


class FolderLock:
    """``flock`` on a file in the folder; the kernel releases it when the holder dies.

    It works between threads and processes, and between machines where the file system supports it (NFS 4 does).
    """

    def __init__(self, folder: Path, name: str = NAME) -> None:
        self._file = folder / name

    @contextmanager
    def shared(self) -> Iterator[None]:
        """The shared lock, for adding files; waits while the exclusive lock is held."""
        descriptor = os.open(self._file, os.O_RDONLY | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def exclusive(self, timeout_s: float) -> Iterator[bool]:
        """The exclusive lock, for deleting files; False if it was not free within ``timeout_s`` seconds.

        After False, nothing may be deleted.
        """
        # NFS grants an exclusive lock only on a file that is open for writing.
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            yield _lock_exclusively(descriptor, time.monotonic() + timeout_s)
        finally:
            os.close(descriptor)


def _lock_exclusively(descriptor: int, deadline_s: float) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline_s:
                return False
            time.sleep(_RETRY_S)
        else:
            return True
