"""Splits arrays in memory into three tensor splits, for all data sets but image folders."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from safs.data.normalisation import normalisation
from safs.data.partition import Counts, counts_of, cut
from safs.data.split import DataInfo, Splits
from safs.data.tensor_split import TensorSplit, fit_in_chunks
from safs.data.training_images import notes_about
from safs.errors import DataError
from safs.spec.data import DataSpec

MEMORY_LIMIT_BYTES = 2 * 2**30
"""Largest size of all images of a data set, once resized. Larger ones keep their size and are resized by batch."""


@dataclass(frozen=True, slots=True)
class Outline:
    """Sizes of a data set, known without reading its pixels."""

    channels: int
    image_size: int
    classes: int
    samples: int
    """Images to split into train and validation, and into test if ``test_samples`` is None."""
    test_samples: int | None
    """Images of an official test set; None if the data set has none."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Images, [N, C, H, W] uint8 or float32, and int64 labels, [N]."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True, slots=True)
class Arrays:
    """A data set in memory, not yet split, resized or normalised."""

    samples: Labelled
    test: Labelled | None
    classes: int
    crop_and_flip: bool


class ArraySource(Protocol):
    """A data set that is read into memory as a whole. A module with these two functions is one."""

    def outline(self, spec: DataSpec, root: Path | None) -> Outline:
        """Sizes, from labels and headers; raises DataError if the data set is missing or malformed."""

    def read(self, spec: DataSpec, root: Path | None) -> Arrays:
        """All images and labels, downloaded if they are missing; raises DataError if that fails."""


def inspect_arrays(source: ArraySource, spec: DataSpec, root: Path | None) -> DataInfo:
    """Sizes of the data set after it is split as ``spec`` says."""
    outline = source.outline(spec, root)
    counts = _counts(outline.samples, outline.test_samples is not None, spec)
    test = counts.test if outline.test_samples is None else outline.test_samples
    return DataInfo(outline.channels, outline.image_size, outline.classes, counts.train, counts.validation, test)


def load_arrays(
    source: ArraySource, spec: DataSpec, root: Path | None, channels: int, image_size: int, seed: int
) -> Splits:
    """Read the data set and split it."""
    return split_arrays(source.read(spec, root), spec, channels, image_size, seed)


def split_arrays(arrays: Arrays, spec: DataSpec, channels: int, image_size: int, seed: int) -> Splits:
    """Split the images, resize them, and normalise them by ``data.normalise`` or the training split's statistics.

    Raises:
        DataError: the images have another number of channels than the network takes, or there are too few of them.
    """
    images, labels = arrays.samples.images, arrays.samples.labels
    check_channels(images.shape[1], channels)
    counts = _counts(len(labels), arrays.test is not None, spec)
    train, validation, test = (torch.from_numpy(part) for part in cut(labels.numpy(), counts, seed))
    tested = arrays.test or Labelled(images[test], labels[test])
    parts = (Labelled(images[train], labels[train]), Labelled(images[validation], labels[validation]), tested)
    mean, std = normalisation(spec, parts[0].images, channels)
    samples = sum(len(part.labels) for part in parts)
    small = samples * channels * image_size**2 * images.element_size() <= MEMORY_LIMIT_BYTES
    made = [
        TensorSplit(
            fit_in_chunks(part.images, channels, image_size) if small else part.images,
            part.labels,
            mean,
            std,
            arrays.classes,
            channels,
            image_size,
            arrays.crop_and_flip and spec.augment == "default",
        )
        for part in parts
    ]
    notes = notes_about(parts[0].images, parts[0].labels, range(arrays.classes))
    return Splits(made[0], made[1], made[2], arrays.classes, notes)


def check_channels(has: int, wanted: int) -> None:
    """Raise DataError if a network with ``wanted`` input channels cannot read images with ``has`` channels."""
    if has not in (1, wanted):
        raise DataError(
            f"the images have {has} channels and the network takes {wanted}; only grey images are repeated. "
            f"Choose a network that takes {has} channels.",
            field="data.dataset",
        )


def as_labelled(images: NDArray[np.generic], labels: NDArray[np.generic]) -> Labelled:
    """Arrays [N, C, H, W] and [N] as tensors; the labels are copied, images only if they are not contiguous."""
    return Labelled(torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(labels.astype(np.int64)))


def _counts(samples: int, has_test: bool, spec: DataSpec) -> Counts:
    return counts_of(samples, spec.validation_fraction, 0.0 if has_test else spec.test_fraction)
