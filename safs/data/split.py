"""The protocol of a split: a part of a data set as a training reads it, in memory or in files."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Split(Protocol):
    """Labelled images: the training, validation or test split of a data set."""

    @property
    def classes(self) -> int: ...

    @property
    def mean(self) -> Tensor:
        """Mean of the stored training images by channel, before normalisation, float32 [C]."""

    @property
    def std(self) -> Tensor:
        """Standard deviation of the stored training images by channel, float32 [C]."""

    @property
    def scale(self) -> float:
        """Largest value of a stored image: 255 for bytes, 1 for a data set of floats, which are kept as they are."""

    def __len__(self) -> int:
        """Number of images."""

    def on(self, device: torch.device) -> "Split":
        """The split with its images on ``device``; itself if its images are in files."""

    def batches(
        self,
        batch_size: int,
        *,
        device: torch.device,
        generator: torch.Generator | None = None,
        augment: bool = False,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of one epoch on ``device``: normalised float32 images [B, C, H, W] and int64 labels [B].

        The last batch may be smaller.

        Args:
            generator: a CPU generator that shuffles the images and draws the augmentation; None keeps the order.
            augment: True applies the data set's augmentation; it needs a generator.
        """


@dataclass(frozen=True, slots=True)
class Splits:
    """The three splits of a data set; they share no image."""

    train: Split
    validation: Split
    test: Split
    classes: int
    notes: tuple[str, ...] = ()
    """Sentences about the training images that the user should know, such as that all of them are equal."""


@dataclass(frozen=True, slots=True)
class DataInfo:
    """Sizes of a data set, known without reading its pixels."""

    channels: int
    image_size: int
    """Pixels a side before resizing; the shorter side if images are not square."""
    classes: int
    train: int
    """Number of training images."""
    validation: int
    """Number of validation images."""
    test: int
    """Number of test images."""
    notes: tuple[str, ...] = ()
    """Sentences about files that are not used."""
