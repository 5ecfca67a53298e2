"""Data sets by name: ``inspect`` describes one, ``load`` splits it into train, validation and test.

The three splits never share an image, and only the seed decides which image goes where. If the data set has an
official test set, that is the test split. The validation split always comes from the training images. Images are
normalised by the mean and standard deviation of the training split.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from safs.data import caltech101, digits, folder, npz, uploaded
from safs.data.arrays import ArraySource, inspect_arrays, load_arrays
from safs.data.cifar import CifarDataset
from safs.data.imagenet16 import ImageNet16
from safs.data.mnist import IdxDataset
from safs.data.split import DataInfo, Split, Splits
from safs.data.tensor_split import TensorSplit
from safs.errors import UnknownNameError
from safs.registry import Registry
from safs.spec.data import DataSpec

__all__ = ["DATASETS", "DataInfo", "DatasetEntry", "Split", "Splits", "TensorSplit", "inspect", "load"]


@dataclass(frozen=True, slots=True)
class DatasetEntry:
    """A data set, or a file format for the user's own data."""

    summary: str
    needs_path: bool
    """True if ``data.path`` must give its path, relative to the data root."""
    inspect: Callable[[DataSpec, Path | None], DataInfo]
    """(spec, root) -> its sizes; raises DataError if it is missing or malformed."""
    load: Callable[[DataSpec, Path | None, int, int, int], Splits]
    """(spec, root, channels, image_size, seed) -> the three splits."""


def inspect(spec: DataSpec, root: Path | None) -> DataInfo:
    """Sizes of the data set after it is split as ``spec`` says. Reads labels and headers only, and downloads nothing.

    Args:
        root: the data root, the folder that holds the files of data sets; None if there is none. For the data set
            ``upload`` it is a result of ``safs.data.uploaded.opened``.

    Raises:
        UnknownNameError: there is no data set of this name.
        DataError: the data set is missing or malformed.
    """
    return _entry(spec).inspect(spec, root)


def load(spec: DataSpec, *, root: Path | None, channels: int, image_size: int, seed: int) -> Splits:
    """The three splits, with every image resized to ``channels`` x ``image_size`` x ``image_size``.

    Raises:
        UnknownNameError: there is no data set of this name.
        DataError: the data set is missing and cannot be downloaded, is malformed, or has another number of channels.
    """
    return _entry(spec).load(spec, root, channels, image_size, seed)


def _entry(spec: DataSpec) -> DatasetEntry:
    if spec.dataset not in DATASETS:
        raise UnknownNameError("dataset", spec.dataset, DATASETS, field="data.dataset")
    return DATASETS[spec.dataset]


def _in_memory(summary: str, source: ArraySource, *, needs_path: bool = False) -> DatasetEntry:
    return DatasetEntry(summary, needs_path, partial(inspect_arrays, source), partial(load_arrays, source))


_FASHION = IdxDataset(
    "FashionMNIST",
    system_folder=Path("/usr/share/datasets/fashion-mnist"),
    hint=" On Debian, the package dataset-fashion-mnist brings them.",
)

DATASETS: Registry[DatasetEntry] = Registry(
    "dataset",
    {
        "digits": _in_memory("1,797 handwritten digits of 8x8 pixels, part of scikit-learn", digits),
        "mnist": _in_memory("70,000 handwritten digits of 28x28 pixels", IdxDataset("MNIST")),
        "fashion_mnist": _in_memory("70,000 pieces of clothing of 28x28 pixels, grey", _FASHION),
        "cifar10": _in_memory("60,000 colour photographs of 32x32 pixels, 10 classes", CifarDataset("CIFAR10", 10)),
        "cifar100": _in_memory("60,000 colour photographs of 32x32 pixels, 100 classes", CifarDataset("CIFAR100", 100)),
        "imagenet16": _in_memory("1,331,167 colour photographs of 16x16 pixels, 1,000 classes", ImageNet16(1000)),
        "imagenet16_120": _in_memory("the 157,700 photographs of ImageNet-16's first 120 classes", ImageNet16(120)),
        "caltech101": DatasetEntry(
            "8,677 colour photographs of 101 kinds of objects, of many sizes",
            False,
            caltech101.inspect,
            caltech101.load,
        ),
        "image_folder": DatasetEntry(
            "your own pictures under the data root, in one folder for each class", True, folder.inspect, folder.load
        ),
        "upload": DatasetEntry(
            "your own arrays or pictures, sent to /v1/uploads", False, uploaded.inspect, uploaded.load
        ),
        "npz": _in_memory("your own arrays x and y under the data root", npz, needs_path=True),
    },
)
