"""Images that end the process that reads them, or raise, on demand; importable by the processes that Ray starts."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safs.data import TensorSplit
from store.crash_points import VARIABLE
from tests.workers.troubled import TroubledSplit


class DeadlySplit(TroubledSplit):
    """With which some trainings end their process, or raise, as often as the test says.

    Args:
        dies_in: seed -> the pass after which the process is killed, once.
        raises: seed -> how many of its first passes raise.
    """

    def __init__(self, split: TensorSplit, folder: Path, dies_in: Mapping[int, int], raises: Mapping[int, int]) -> None:
        super().__init__(split, folder)
        self._dies_in, self._raises = dies_in, raises

    @contextmanager
    def _at_work(self, seed: int, passes: int) -> Iterator[None]:
        if passes <= self._raises.get(seed, 0):
            raise ZeroDivisionError(f"training {seed} divides by zero")
        if passes == self._dies_in.get(seed):
            os.environ[VARIABLE] = f"trial.epoch@{self._folder / f'{seed}-died'}"
        yield
