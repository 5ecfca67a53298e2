"""Images with which trainings go wrong on demand; importable by the processes that Ray starts."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from torch import Tensor

from safs.data import TensorSplit


class TroubledSplit(ABC):
    """A training split that counts its passes, and leaves it to a subclass what becomes of each.

    Args:
        folder: has a file for each seed of a training, with a line for each pass.
    """

    def __init__(self, split: TensorSplit, folder: Path) -> None:
        self._split, self._folder = split, folder
        self.classes, self.mean, self.std, self.scale = split.classes, split.mean, split.std, split.scale

    def __len__(self) -> int:
        return len(self._split)

    def on(self, device: torch.device) -> "TroubledSplit":
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
        with self._at_work(seed, self._count(seed)):
            yield from self._split.batches(batch_size, device=device, generator=generator, augment=augment)

    @abstractmethod
    def _at_work(self, seed: int, passes: int) -> AbstractContextManager[None]:
        """Goes around a pass.

        Args:
            passes: of this seed, with this one.
        """

    def _count(self, seed: int) -> int:
        with (self._folder / str(seed)).open("a+") as file:
            file.write("a pass\n")
            file.seek(0)
            return len(file.readlines())
