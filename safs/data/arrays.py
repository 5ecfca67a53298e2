"""From arrays in memory to three tensor splits: what all data sets but image folders share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from safs.data.partition import Counts, counts_of, cut
from safs.data.split import DataInfo, Splits
from safs.data.tensor_split import TensorSplit, fit_in_chunks, mean_and_std
from safs.errors import DataError
from safs.spec.job import DataSpec

MEMORY_LIMIT_BYTES = 2 * 2**30
"""Of all images of a data set, fitted; a larger one is kept at its own size and fitted a batch at a time."""


@dataclass(frozen=True, slots=True)
class Outline:
    """What a data set holds, without its pixels."""

    channels: int
    image_size: int
    classes: int
    samples: int
    """To be cut in train and validation, and in test where ``test_samples`` is None."""
    test_samples: int | None


@dataclass(frozen=True, slots=True)
class Labelled:
    """Images, [N, C, H, W] uint8 or float32, and int64 labels, [N]."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True, slots=True)
class Arrays:
    """A data set in memory as it was published."""

    samples: Labelled
    test: Labelled | None
    classes: int
    crop_and_flip: bool


class ArraySource(Protocol):
    """A data set that is read into memory whole; a module with these two functions is one."""

    def outline(self, spec: DataSpec, root: Path | None) -> Outline:
        """What it holds, from labels and headers; raises DataError where it is not there or malformed."""

    def read(self, spec: DataSpec, root: Path | None) -> Arrays:
        """All of it, downloaded where need be; raises DataError where that fails."""


def inspect_arrays(source: ArraySource, spec: DataSpec, root: Path | None) -> DataInfo:
    """The data set's sizes once it is cut as ``spec`` says."""
    outline = source.outline(spec, root)
    counts = _counts(outline.samples, outline.test_samples is not None, spec)
    test = counts.test if outline.test_samples is None else outline.test_samples
    return DataInfo(outline.channels, outline.image_size, outline.classes, counts.train, counts.validation, test)


def load_arrays(
    source: ArraySource, spec: DataSpec, root: Path | None, channels: int, image_size: int, seed: int
) -> Splits:
    """The data set in three parts."""
    return split_arrays(source.read(spec, root), spec, channels, image_size, seed)


def split_arrays(arrays: Arrays, spec: DataSpec, channels: int, image_size: int, seed: int) -> Splits:
    """Cuts, fits to ``channels`` and ``image_size``, and normalises by the training part's mean and deviation.

    Raises:
        DataError: the images have other channels than the network takes, or are too few.
    """
    images, labels = arrays.samples.images, arrays.samples.labels
    check_channels(images.shape[1], channels)
    counts = _counts(len(labels), arrays.test is not None, spec)
    train, validation, test = (torch.from_numpy(part) for part in cut(labels.numpy(), counts, seed))
    tested = arrays.test or Labelled(images[test], labels[test])
    parts = (Labelled(images[train], labels[train]), Labelled(images[validation], labels[validation]), tested)
    mean, std = mean_and_std(parts[0].images)
    samples = sum(len(part.labels) for part in parts)
    small = samples * channels * image_size**2 * images.element_size() <= MEMORY_LIMIT_BYTES
    made = [
        TensorSplit(
            fit_in_chunks(part.images, channels, image_size) if small else part.images,
            part.labels,
            mean.expand(channels).clone(),
            std.expand(channels).clone(),
            arrays.classes,
            channels,
            image_size,
            arrays.crop_and_flip and spec.augment == "default",
        )
        for part in parts
    ]
    return Splits(made[0], made[1], made[2], arrays.classes)


def check_channels(has: int, wanted: int) -> None:
    """Raises DataError where images of ``has`` channels cannot be given to a network that takes ``wanted``."""
    if has not in (1, wanted):
        raise DataError(
            f"the images have {has} channels and the network takes {wanted}; only grey images are repeated. "
            "Choose a network that takes as many.",
            field="data.dataset",
        )


def as_labelled(images: NDArray[np.generic], labels: NDArray[np.generic]) -> Labelled:
    """Arrays [N, C, H, W] and [N] as tensors of their own memory."""
    return Labelled(torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(labels.astype(np.int64)))


def _counts(samples: int, has_test: bool, spec: DataSpec) -> Counts:
    return counts_of(samples, spec.validation_fraction, 0.0 if has_test else spec.test_fraction)
