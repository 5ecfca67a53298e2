"""What every part of a data set looks like to a training, whether it lives in memory or in files."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Split(Protocol):
    """Labelled images: the training, the validation or the test part of a data set."""

    @property
    def classes(self) -> int: ...

    @property
    def mean(self) -> Tensor:
        """float32 [C], of the training split's images as they are stored, before they are normalised."""

    @property
    def std(self) -> Tensor: ...

    @property
    def scale(self) -> float:
        """The largest value of a stored image: 255 for bytes, 1 where the data set's own numbers are kept."""

    def __len__(self) -> int:
        """Number of images."""

    def on(self, device: torch.device) -> "Split":
        """The split with its images on ``device`` where they live in memory; else itself."""

    def batches(
        self,
        batch_size: int,
        *,
        device: torch.device,
        generator: torch.Generator | None = None,
        augment: bool = False,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """One pass: normalised float32 images [B, C, H, W] and int64 labels [B] on ``device``; the last may be short.

        Args:
            generator: a CPU generator; shuffles, and draws the augmentation. None keeps the order.
            augment: apply the data set's own augmentation; needs a generator.
        """


@dataclass(frozen=True, slots=True)
class Splits:
    """A data set cut in three parts that share no image."""

    train: Split
    validation: Split
    test: Split
    classes: int


@dataclass(frozen=True, slots=True)
class DataInfo:
    """What can be told about a data set without reading its pixels."""

    channels: int
    image_size: int
    """Pixels a side, before any resizing; the shorter side where images are not square."""
    classes: int
    train: int
    validation: int
    test: int
    """Number of images in each split."""
