"""Workers and trainings that hang in different ways. Ray's workers import this module."""

import ctypes
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from safs.data import TensorSplit
from safs.execution.work import Context
from tests.workers.faulty_split import FaultySplit
from workers.on_ray.shared_data import ObjectStore, SharedContext

WAYS = STARTING, LOCKED, STOPPED = "starting", "holding Python's lock", "stopped"
_FOREVER_S = 10**6


class HangingActor:
    """An actor that hangs in the first way that no other has taken; the file of that way in ``folder`` has its id."""

    def __init__(self, folder: Path) -> None:
        self._way = next(way for way in WAYS if _take(folder / way))
        if self._way == STARTING:
            time.sleep(_FOREVER_S)

    def ready(self) -> None:
        """Return once the actor has started."""

    def step(self, order: object) -> NoReturn:
        """Hang."""
        _hang(self._way)


class HangingSplit(FaultySplit):
    """A training split with which two trainings hang: one holds Python's lock, the other is stopped.

    Each leaves its process id in the file of ``folder`` that is named after its way to hang. The very first pass, and
    all passes after both trainings hang, run undisturbed.
    """

    @contextmanager
    def _pass(self, seed: int, passes: int) -> Iterator[None]:
        way = next((way for way in ("first", LOCKED, STOPPED) if _take(self._folder / way)), "first")
        if way != "first":
            _hang(way)
        yield


def hang_trainings(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Replace the training split of all trainings on Ray by a ``HangingSplit`` until ``patch`` is undone."""
    share = ObjectStore.share

    def share_hanging(self: ObjectStore, context: Context) -> SharedContext:
        train = context.data.train
        assert isinstance(train, TensorSplit)
        return share(self, replace(context, data=replace(context.data, train=HangingSplit(train, folder))))

    patch.setattr(ObjectStore, "share", share_hanging)


def hanging(folder: Path) -> bool:
    """Return True once both trainings of ``HangingSplit`` hang."""
    files = [folder / LOCKED, folder / STOPPED]
    if not all(file.exists() and file.read_text() for file in files):
        return False
    return state(int(files[1].read_text())) == "T"


def state(pid: int) -> str:
    """Return the letter of the process's state in /proc, such as T for stopped; an empty string if it has ended."""
    try:
        letter = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return letter.replace("Z", "")  # A zombie has ended; its parent has not collected it yet.


def _hang(way: str) -> NoReturn:
    """Hang in this way, and ignore every signal that can be ignored."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    if way == STOPPED:
        os.kill(os.getpid(), signal.SIGSTOP)
    ctypes.PyDLL(None).sleep(_FOREVER_S)  # PyDLL keeps the GIL, so no other thread of this process runs.
    raise AssertionError("unreachable")


def _take(way: Path) -> bool:
    try:
        with way.open("x") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        return False
    return True
