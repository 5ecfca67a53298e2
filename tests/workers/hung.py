"""What hangs, each in its way; importable by the processes that Ray starts."""

import ctypes
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
from ray import tune

from safs.data import TensorSplit
from safs.execution.work import Context
from tests.workers.troubled import TroubledSplit
from workers.on_ray.shared_data import ObjectStore, SharedContext

WAYS = STARTING, LOCKED, STOPPED = "starting", "holding Python's lock", "stopped"
_FOR_EVER_S = 10**6


class Hung(tune.Trainable):
    """Hangs in the first way that no other has taken; its process id is in a file of that name in ``folder``."""

    def setup(self, config: dict[str, Any], **bound: Any) -> None:
        self._way = next(way for way in WAYS if _takes(Path(bound["folder"]) / way))
        if self._way == STARTING:
            time.sleep(_FOR_EVER_S)

    def step(self) -> dict[str, Any]:
        _hang(self._way)


class HangingSplit(TroubledSplit):
    """With which two trainings hang; the id of each one's process is in a file of its way to hang in ``folder``.

    The first pass of all, and what comes when both ways are taken, is undisturbed.
    """

    @contextmanager
    def _at_work(self, seed: int, passes: int) -> Iterator[None]:
        way = next((way for way in ("first", LOCKED, STOPPED) if _takes(self._folder / way)), "first")
        if way != "first":
            _hang(way)
        yield


def hang_trainings(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Whoever trains on Ray has a ``HangingSplit`` for its training images from now on."""
    share = ObjectStore.share

    def share_hanging(self: ObjectStore, context: Context) -> SharedContext:
        assert isinstance(context.train, TensorSplit)
        return share(self, replace(context, train=HangingSplit(context.train, folder)))

    patch.setattr(ObjectStore, "share", share_hanging)


def hanging(folder: Path) -> bool:
    """Whether both of ``HangingSplit``'s trainings hang by now."""
    files = [folder / LOCKED, folder / STOPPED]
    if not all(file.exists() and file.read_text() for file in files):
        return False
    return state(int(files[1].read_text())) == "T"


def state(pid: int) -> str:
    """The letter that stands for the process's state in /proc, T for stopped; nothing if it has ended."""
    try:
        letter = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return letter.replace("Z", "")  # A zombie, whose parent has only not asked for it yet.


def _hang(way: str) -> NoReturn:
    """As ``way`` says; asked to stop, it does not."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    if way == STOPPED:
        os.kill(os.getpid(), signal.SIGSTOP)
    ctypes.PyDLL(None).sleep(_FOR_EVER_S)  # No other thread of this process runs.
    raise AssertionError("it has slept for ever")


def _takes(way: Path) -> bool:
    try:
        with way.open("x") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        return False
    return True
