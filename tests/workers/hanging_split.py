"""Trainings that hang in different ways. Ray's workers import this module."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from safs.data import TensorSplit
from safs.execution.work import Context
from tests.workers.faulty_split import FaultySplit
from tests.workers.hanging import LOCKED, STOPPED, hang, state, take
from workers.on_ray.shared_data import ObjectStore, SharedContext


class HangingSplit(FaultySplit):
    """A training split with which two trainings hang: one holds Python's lock, the other is stopped.

    Each leaves its process id in the file of ``folder`` that is named after its way to hang. The very first pass, and
    all passes after both trainings hang, run undisturbed.
    """

    @contextmanager
    def _pass(self, seed: int, passes: int) -> Iterator[None]:
        way = next((way for way in ("first", LOCKED, STOPPED) if take(self._folder / way)), "first")
        if way != "first":
            hang(way)
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
