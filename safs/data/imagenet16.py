"""ImageNet at 16x16 pixels: ``train_data_batch_1`` to ``_10`` and ``val_data`` in ``ImageNet16`` under the data root.

Each file is a pickled dict of arrays: ``data``, uint8 [N, 768], the red, green and blue pixels row by row; ``labels``,
N numbers from 1; ``mean``, [768]. ``safs.data.pickles`` reads the files; they are never unpickled. The published mean
is not used: as for every data set, the training split gives the mean and standard deviation.

Chrabaszcz, Loshchilov, Hutter, "A Downsampled Variant of ImageNet as an Alternative to the CIFAR datasets" (2017),
arXiv:1707.08819.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from safs.data.arrays import Arrays, Labelled, Outline, as_labelled
from safs.data.locations import required
from safs.data.pickles import parse
from safs.data.stored import StoredArray
from safs.errors import DataError
from safs.spec.data import DataSpec

FOLDER = "ImageNet16"
TRAIN_FILES = tuple(f"train_data_batch_{number}" for number in range(1, 11))
TEST_FILES = ("val_data",)
PUBLISHED_CLASSES = 1000
_CHANNELS, _SIZE = 3, 16
_PIXELS = _CHANNELS * _SIZE**2


@dataclass(frozen=True, slots=True)
class ImageNet16:
    """The first classes of ImageNet16; 120 of them are ImageNet16-120, Dong and Yang (2020, arXiv:2001.00326).

    The published validation images are the test split, since the published test images have no labels. Training images
    are randomly cropped and mirrored after padding with 4 pixels, as in the authors' script.
    """

    classes: int
    """Number of classes to use: 1,000 or 120."""

    def outline(self, spec: DataSpec, root: Path | None) -> Outline:
        """Sizes, from all labels and no pixels."""
        samples, test_samples = (sum(len(batch.labels) for batch in part) for part in self._open(spec, root))
        return Outline(_CHANNELS, _SIZE, self.classes, samples, test_samples)

    def read(self, spec: DataSpec, root: Path | None) -> Arrays:
        """Read the files one by one into a single array, which takes a gigabyte for 1,000 classes."""
        train, test = self._open(spec, root)
        return Arrays(_gather(train), _gather(test), self.classes, crop_and_flip=True)

    def _open(self, spec: DataSpec, root: Path | None) -> "tuple[list[_Batch], list[_Batch]]":
        folder = required(root, spec.dataset) / FOLDER
        absent = [name for name in (*TRAIN_FILES, *TEST_FILES) if not (folder / name).is_file()]
        if absent:
            raise DataError(
                f"dataset {spec.dataset!r} has no {', '.join(absent)} in {folder}. Log in to "
                "https://image-net.org/download-images, download the downsampled 16x16 images, and unpack them there.",
                field="data.dataset",
            )
        return [self._batch(folder / name) for name in TRAIN_FILES], [self._batch(folder / name) for name in TEST_FILES]

    def _batch(self, path: Path) -> "_Batch":
        try:
            with path.open("rb") as file:
                content = parse(file)
                if not isinstance(content, dict):
                    raise ValueError(f"it has a {type(content).__name__}, not a dict")
                images = _images_of(content)
                labels = _labels_of(content, images.shape[0], file)
        except (OSError, ValueError) as error:
            raise _refused(path, error) from error
        rows = np.flatnonzero(labels <= self.classes)
        return _Batch(path, images, rows, labels[rows] - 1)


@dataclass(frozen=True, slots=True)
class _Batch:
    path: Path
    images: StoredArray
    rows: NDArray[np.int64]
    """Row numbers of the images that are used."""
    labels: NDArray[np.int64]
    """Labels of these images, from 0."""

    def read(self) -> NDArray[np.generic]:
        try:
            with self.path.open("rb") as file:
                return self.images.read(file)[self.rows]
        except (OSError, ValueError) as error:
            raise _refused(self.path, error) from error


def _images_of(content: dict[object, object]) -> StoredArray:
    images = content.get("data")
    if not isinstance(images, StoredArray):
        raise ValueError("it has no array 'data'")
    if images.dtype != np.uint8 or images.shape[1:] != (_PIXELS,) or images.shape[0] == 0:
        raise ValueError(f"its 'data' is {images.dtype} of shape {images.shape}, not uint8 [N, {_PIXELS}]")
    return images


def _labels_of(content: dict[object, object], samples: int, file: BinaryIO) -> NDArray[np.int64]:
    """Labels as stored, from 1; the file has them as a list of numbers or as an array."""
    stored = content.get("labels")
    if isinstance(stored, list):
        labels = np.array([_number(label, file) for label in stored], dtype=np.int64)
    elif isinstance(stored, StoredArray) and stored.dtype.kind in "iu" and stored.shape == (samples,):
        labels = stored.read(file).astype(np.int64)
    else:
        raise ValueError(f"it has no list or array 'labels' of {samples} integers")
    if len(labels) != samples:
        raise ValueError(f"it has {samples} images and {len(labels)} labels")
    if labels.min() < 1 or labels.max() > PUBLISHED_CLASSES:
        raise ValueError(f"its labels are {labels.min()} to {labels.max()}, not in 1 to {PUBLISHED_CLASSES}")
    return labels


def _number(label: object, file: BinaryIO) -> int:
    if isinstance(label, StoredArray) and label.shape == () and label.dtype.kind in "iu":
        return int(label.read(file).astype(np.int64))
    if type(label) is not int:
        raise ValueError("its 'labels' are not all integers")
    return label


def _gather(batches: "Sequence[_Batch]") -> Labelled:
    labels = np.concatenate([batch.labels for batch in batches])
    images = np.empty((len(labels), _PIXELS), dtype=np.uint8)
    start = 0
    for batch in batches:
        images[start : start + len(batch.labels)] = batch.read()
        start += len(batch.labels)
    return as_labelled(images.reshape(-1, _CHANNELS, _SIZE, _SIZE), labels)


def _refused(path: Path, why: object) -> DataError:
    return DataError(
        f"{path} is refused: {why}. It must be a pickled dict with data, uint8 [N, {_PIXELS}], and labels, N integers "
        f"from 1 to {PUBLISHED_CLASSES}; nothing in it is executed. Unpack the published file again.",
        field="data.dataset",
    )
