"""Data sets by name: ``inspect`` tells what one holds, ``load`` cuts it in train, validation and test.

Train, validation and test never share an image, and which image goes where depends on the seed alone. The official
test set, where there is one, is the test split; validation always comes from the training images. Means and deviations
are those of the training split.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from safs.data import digits, folder, npz
from safs.data.arrays import ArraySource, inspect_arrays, load_arrays
from safs.data.cifar import CifarDataset
from safs.data.imagenet16 import ImageNet16
from safs.data.mnist import IdxDataset
from safs.data.split import DataInfo, Split, Splits
from safs.data.tensor_split import TensorSplit
from safs.errors import UnknownNameError
from safs.registry import Registry
from safs.spec.job import DataSpec

__all__ = ["DATASETS", "DataInfo", "DatasetEntry", "Split", "Splits", "TensorSplit", "inspect", "load"]


@dataclass(frozen=True, slots=True)
class DatasetEntry:
    """A data set, or a kind of them."""

    summary: str
    needs_path: bool
    """Whether ``data.path`` says where it is, relative to the data root."""
    inspect: Callable[[DataSpec, Path | None], DataInfo]
    """(spec, root) -> what it holds; raises DataError where it is not there or malformed."""
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
    return _entry(spec).inspect(spec, root)


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


def _of_arrays(summary: str, source: ArraySource, *, needs_path: bool = False) -> DatasetEntry:
    return DatasetEntry(summary, needs_path, partial(inspect_arrays, source), partial(load_arrays, source))


_FASHION = IdxDataset(
    "FashionMNIST",
    system_folder=Path("/usr/share/datasets/fashion-mnist"),
    way_out=" On Debian, the package dataset-fashion-mnist brings them.",
)

DATASETS: Registry[DatasetEntry] = Registry(
    "dataset",
    {
        "digits": _of_arrays("1,797 handwritten digits of 8x8 pixels, part of scikit-learn", digits),
        "mnist": _of_arrays("70,000 handwritten digits of 28x28 pixels", IdxDataset("MNIST")),
        "fashion_mnist": _of_arrays("70,000 pieces of clothing of 28x28 pixels, grey", _FASHION),
        "cifar10": _of_arrays("60,000 colour photographs of 32x32 pixels, 10 classes", CifarDataset("CIFAR10", 10)),
        "cifar100": _of_arrays("60,000 colour photographs of 32x32 pixels, 100 classes", CifarDataset("CIFAR100", 100)),
        "imagenet16": _of_arrays("1,331,167 colour photographs of 16x16 pixels, 1,000 classes", ImageNet16(1000)),
        "imagenet16_120": _of_arrays("the 157,700 photographs of ImageNet-16's first 120 classes", ImageNet16(120)),
        "image_folder": DatasetEntry(
            "your own pictures under the data root, one sub folder a class", True, folder.inspect, folder.load
        ),
        "npz": _of_arrays("your own arrays x and y under the data root", npz, needs_path=True),
    },
)
