"""Images for which there is too little memory, on demand; importable by the processes that Ray starts."""

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from safs.data import TensorSplit
from tests.workers.troubled import TroubledSplit


class HungrySplit(TroubledSplit):
    """With which some trainings run out of memory, as often as the test says.

    Every pass writes its seed, and who else was at work, to ``passes`` in ``folder``.

    Args:
        failures: seed of a training -> how many of its first passes lack memory.
    """

    def __init__(self, split: TensorSplit, folder: Path, failures: Mapping[int, int]) -> None:
        super().__init__(split, folder)
        self._failures = failures

    @contextmanager
    def _at_work(self, seed: int, passes: int) -> Iterator[None]:
        mark = self._folder / f"at-work-{seed}"
        with (self._folder / "lock").open("a") as lock:  # Two processes may come at once.
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
