"""A training split whose passes can be made to fail. Ray's workers import it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from torch import Tensor

from safs.data import TensorSplit


class FaultySplit(ABC):
    """A training split that counts its passes; a subclass decides what happens in each.

    Args:
        folder: holds one file per seed of a training, with one line per pass.
    """

    def __init__(self, split: TensorSplit, folder: Path) -> None:
        self._split, self._folder = split, folder
        self.classes, self.mean, self.std, self.scale = split.classes, split.mean, split.std, split.scale

    def __len__(self) -> int:
        return len(self._split)

    def on(self, device: torch.device) -> "FaultySplit":
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
        with self._pass(seed, self._count(seed)):
            yield from self._split.batches(batch_size, device=device, generator=generator, augment=augment)

    @abstractmethod
    def _pass(self, seed: int, passes: int) -> AbstractContextManager[None]:
        """Return the context in which a pass runs.

        Args:
            passes: number of passes of this seed so far, this one included.
        """

    def _count(self, seed: int) -> int:
        with (self._folder / str(seed)).open("a+") as file:
            file.write("a pass\n")
            file.seek(0)
            return len(file.readlines())
