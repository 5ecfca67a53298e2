"""Images for which there is too little memory, on demand; importable by the processes that Ray starts."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from safs.data import TensorSplit


class HungrySplit:
    """A training split of which the trainings with some seeds run out of memory, as often as the test says.

    Every pass writes its seed, and who else was at work, to ``passes`` in ``folder``.

    Args:
        failures: seed of a training -> how many of its first passes lack memory.
    """

    def __init__(self, split: TensorSplit, folder: Path, failures: dict[int, int]) -> None:
        self._split, self._folder, self._failures = split, folder, failures
        self.classes, self.mean, self.std, self.scale = split.classes, split.mean, split.std, split.scale

    def __len__(self) -> int:
        return len(self._split)

    def on(self, device: torch.device) -> "HungrySplit":
        return self

    def batches(
        self,
        batch_size: int,
        *,
        device: torch.device,
        generator: torch.Generator | None = None,
        augment: bool = False,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        assert generator is not None
        seed = generator.initial_seed()
        with self._at_work(seed) as passes:
            if passes <= self._failures.get(seed, 0):
                raise torch.OutOfMemoryError(f"CUDA out of memory. Training {seed} wanted more.\nMore lines follow.")
            yield from self._split.batches(batch_size, device=device, generator=generator, augment=augment)

    @contextmanager
    def _at_work(self, seed: int) -> Iterator[int]:
        """Yields which pass of this seed it is, from 1; two processes may come at once."""
        with (self._folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            present = sorted(file.name for file in self._folder.glob("at-work-*"))
            (self._folder / f"at-work-{seed}").touch()
            with (self._folder / "passes").open("a") as file:
                file.write(f"{seed} beside {','.join(present) or 'none'}\n")
            passes = (self._folder / "passes").read_text().splitlines()
        try:
            yield sum(line.startswith(f"{seed} ") for line in passes)
        finally:
            (self._folder / f"at-work-{seed}").unlink()
