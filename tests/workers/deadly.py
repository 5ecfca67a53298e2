"""Images that end the process that reads them, or raise, on demand; importable by the processes that Ray starts."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from safs.data import TensorSplit
from store.crash_points import VARIABLE


class DeadlySplit:
    """A training split with which some trainings go wrong, as often as the test says.

    Args:
        folder: where passes are counted, by the seed of the training.
        dies_in: seed -> the pass after which the process is killed, once.
        raises: seed -> how many of its first passes raise.
    """

    def __init__(self, split: TensorSplit, folder: Path, dies_in: Mapping[int, int], raises: Mapping[int, int]) -> None:
        self._split, self._folder, self._dies_in, self._raises = split, folder, dies_in, raises
        self.classes, self.mean, self.std, self.scale = split.classes, split.mean, split.std, split.scale

    def __len__(self) -> int:
        return len(self._split)

    def on(self, device: torch.device) -> "DeadlySplit":
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
        with (self._folder / str(seed)).open("a+") as file:
            file.write("a pass\n")
            file.seek(0)
            passes = len(file.readlines())
        if passes <= self._raises.get(seed, 0):
            raise ZeroDivisionError(f"training {seed} divides by zero")
        if passes == self._dies_in.get(seed):
            os.environ[VARIABLE] = f"trial.epoch@{self._folder / f'{seed}-died'}"
        yield from self._split.batches(batch_size, device=device, generator=generator, augment=augment)
