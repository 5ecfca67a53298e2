"""Who may change a folder of artifacts now: any number of writers, or one who deletes."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = ".lock"

_RETRY_S = 0.02


class FolderLock:
    """``flock`` on a file of the folder; the kernel lets go of it when its holder dies, however that dies.

    It counts between threads and between processes, and between machines where the file system passes it on (NFS 4
    does).
    """

    def __init__(self, folder: Path, name: str = NAME) -> None:
        self._file = folder / name

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Held beside other writers; waits while somebody deletes."""
        descriptor = os.open(self._file, os.O_RDONLY | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def deleting(self, patience_s: float) -> Iterator[bool]:
        """Held alone; False if writers did not let go for ``patience_s`` seconds, and then nothing may be deleted."""
        # NFS gives the exclusive lock only to those who could write.
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            yield _alone(descriptor, time.monotonic() + patience_s)
        finally:
            os.close(descriptor)


def _alone(descriptor: int, deadline_s: float) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline_s:
                return False
            time.sleep(_RETRY_S)
        else:
            return True
