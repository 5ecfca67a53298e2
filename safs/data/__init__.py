"""Data sets by name: ``inspect`` tells what one holds, ``load`` cuts it in train, validation and test.

Train, validation and test never share an image, and which image goes where depends on the seed alone. The official
test set, where there is one, is the test split; validation always comes from the training images. Means and deviations
are those of the training split.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from safs.data import digits
from safs.data.arrays import Arrays, Outline, info_of, split_arrays
from safs.data.split import DataInfo, Split, Splits
from safs.data.tensors import TensorSplit
from safs.errors import UnknownNameError
from safs.registry import Registry
from safs.spec import DataSpec

__all__ = ["DATASETS", "DataInfo", "DatasetEntry", "Split", "Splits", "TensorSplit", "inspect", "load"]


@dataclass(frozen=True, slots=True)
class DatasetEntry:
    """A data set, or a kind of them."""

    summary: str
    needs_path: bool
    """Whether ``data.path`` says where it is, relative to the data root."""
    outline: Callable[[DataSpec, Path | None], Outline]
    """What it holds, without its pixels; raises DataError where it is not there or malformed."""
    load: Callable[[DataSpec, Path | None, int, int, int], Splits]
    """(spec, root, channels, image_size, seed) -> the three parts."""


def inspect(spec: DataSpec, root: Path | None) -> DataInfo:
    """What the data set holds, once cut as ``spec`` says; reads labels and headers, no pixels, and downloads nothing.

    Args:
        root: the folder of the data sets that bring files.

    Raises:
        UnknownNameError: no such data set.
        DataError: it is not there, or malformed.
    """
    return info_of(_entry(spec).outline(spec, root), spec)


def load(spec: DataSpec, *, root: Path | None, channels: int, image_size: int, seed: int) -> Splits:
    """The data set in three parts, every image with ``channels`` and ``image_size`` pixels a side.

    Raises:
        UnknownNameError: no such data set.
        DataError: it is not there and cannot be downloaded, is malformed, or has other channels than asked for.
    """
    return _entry(spec).load(spec, root, channels, image_size, seed)


def _entry(spec: DataSpec) -> DatasetEntry:
    if spec.dataset not in DATASETS:
        raise UnknownNameError("dataset", spec.dataset, DATASETS, field="data.dataset")
    return DATASETS[spec.dataset]


def _load_arrays(
    read: Callable[[DataSpec, Path | None], Arrays],
    spec: DataSpec,
    root: Path | None,
    channels: int,
    image_size: int,
    seed: int,
) -> Splits:
    return split_arrays(read(spec, root), spec, channels, image_size, seed)


DATASETS: Registry[DatasetEntry] = Registry(
    "dataset",
    {
        "digits": DatasetEntry(
            "1,797 handwritten digits of 8x8 pixels, part of scikit-learn",
            needs_path=False,
            outline=digits.outline,
            load=partial(_load_arrays, digits.read),
        ),
    },
)
