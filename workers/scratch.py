"""The temporary folder of a runner's process, which the next runner deletes if the process was killed."""

import fcntl
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

PREFIX = "safs-runner-"
LOCK = "lock"
"""File that a living runner holds locked. The kernel releases the lock when the process ends, however it ends."""


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Create a temporary folder and use it for all temporary files of this process until the block ends."""
    sweep()
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder, (Path(folder) / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tempfile.tempdir = folder
        try:
            yield Path(folder)
        finally:
            tempfile.tempdir = before


def sweep() -> None:
    """Delete the folders of runners that were killed. A folder without a lock file is being created, and stays."""
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK}"):
        try:
            with lock.open("r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent)
        except BlockingIOError:
            continue  # The runner lives.
        except OSError as error:
            log.warning("%s of a killed runner cannot be deleted: %s", lock.parent, error)
        else:
            log.info("deleted %s of a killed runner", lock.parent)
