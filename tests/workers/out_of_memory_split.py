"""A training split that runs out of memory in chosen passes. Ray's workers import it."""

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from safs.data import TensorSplit
from tests.workers.faulty_split import FaultySplit


class OutOfMemorySplit(FaultySplit):
    """A training split with which chosen trainings run out of memory.

    Every pass appends a line to the file ``passes`` in ``folder``: its seed, and the trainings that run beside it.

    Args:
        failures: seed of a training -> number of its first passes that run out of memory.
    """

    def __init__(self, split: TensorSplit, folder: Path, failures: Mapping[int, int]) -> None:
        super().__init__(split, folder)
        self._failures = failures

    @contextmanager
    def _pass(self, seed: int, passes: int) -> Iterator[None]:
        mark = self._folder / f"at-work-{seed}"
        with (self._folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            present = sorted(file.name for file in self._folder.glob("at-work-*"))
            mark.touch()
            with (self._folder / "passes").open("a") as file:
                file.write(f"{seed} beside {','.join(present) or 'none'}\n")
        try:
            if passes <= self._failures.get(seed, 0):
                raise torch.OutOfMemoryError(f"CUDA out of memory. Training {seed} wanted more.\nMore lines follow.")
            yield
        finally:
            mark.unlink()
