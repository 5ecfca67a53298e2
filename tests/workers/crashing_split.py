"""A training split that kills its process, or raises, in chosen passes. Ray's workers import it."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safs.data import TensorSplit
from store.crash_points import VARIABLE
from tests.workers.faulty_split import FaultySplit


class CrashingSplit(FaultySplit):
    """A training split with which chosen trainings kill their process or raise.

    Args:
        dies_in: seed of a training -> number of the pass after which its process is killed, once.
        raises: seed of a training -> number of its first passes that raise.
    """

    def __init__(self, split: TensorSplit, folder: Path, dies_in: Mapping[int, int], raises: Mapping[int, int]) -> None:
        super().__init__(split, folder)
        self._dies_in, self._raises = dies_in, raises

    @contextmanager
    def _pass(self, seed: int, passes: int) -> Iterator[None]:
        if passes <= self._raises.get(seed, 0):
            raise ZeroDivisionError(f"training {seed} divides by zero")
        if passes == self._dies_in.get(seed):
            os.environ[VARIABLE] = f"trial.epoch@{self._folder / f'{seed}-died'}"
        yield
