"""Splits that give another split's batches, changed."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from safs.data.split import Split


@dataclass(frozen=True, slots=True)
class WrappedSplit:
    """Base of splits that have another split's images; a subclass adds ``batches``."""

    split: Split

    def __len__(self) -> int:
        return len(self.split)

    @property
    def classes(self) -> int:
        return self.split.classes

    @property
    def mean(self) -> Tensor:
        """Mean of the whole images by channel, float32 [C]."""
        return self.split.mean

    @property
    def std(self) -> Tensor:
        """Standard deviation of the whole images by channel, float32 [C]."""
        return self.split.std

    @property
    def scale(self) -> float:
        return self.split.scale

    def on(self, device: torch.device) -> Self:
        return replace(self, split=self.split.on(device))
