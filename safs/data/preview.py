"""A preview of a user's own data: what was understood, and what is probably a mistake.

Arrays are read in pieces, so that a preview takes little memory. Of pictures in files, a sample is decoded.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from safs.data import folder, npz, uploaded
from safs.data.class_folders import find
from safs.data.file_split import decode
from safs.data.near_duplicates import Descriptors, share_seen
from safs.data.samples import Sample, Samples
from safs.errors import legible
from safs.spec.data import DataSpec

FEW_IMAGES = 5
"""Number of training images of a class below which a warning names the class."""
NEAR_DUPLICATES = 0.05
"""Share of test images that resemble a training image from which there is a warning."""
DECODED = 500
"""Largest number of pictures of a split that are decoded."""
MAX_LISTED = 10
Images = NDArray[np.generic]
Chunks = Callable[[], Iterator[Images]]


@dataclass(frozen=True, slots=True)
class ClassCount:
    """Numbers of images of a class, before the validation split is taken from the training images."""

    name: str
    train: int
    test: int | None
    """Number of test images; None if the test split is taken from the training images."""


@dataclass(frozen=True, slots=True)
class DataPreview:
    """A data set as it was understood."""

    images: int
    """Images to train on, and to split validation (and test) from."""
    test_images: int | None
    """Images of a test set; None without one."""
    channels: int
    height: int
    """Pixels before resizing; for pictures, the median of the shorter sides."""
    width: int
    values: str
    """Type of the values, such as ``uint8``."""
    low: float
    high: float
    mean: float
    std: float
    classes: tuple[ClassCount, ...]
    warnings: tuple[str, ...]
    """Sentences about what is probably a mistake."""
    samples: tuple[Sample, ...]
    """Images of the training split, sorted by class."""


@dataclass(frozen=True, slots=True)
class _Part:
    """The images and labels of a split."""

    labels: NDArray[np.int64]
    chunks: Chunks
    seen: NDArray[np.int64]
    """Labels of the images in ``chunks``."""


def preview(spec: DataSpec, root: Path | None) -> DataPreview | None:
    """The preview of a data set of the user, which ``inspect`` has accepted; None for other data sets.

    Args:
        root: as for ``safs.data.inspect``.
    """
    if spec.dataset == "upload":
        spec = uploaded.located(spec, root)
        root = root if root is None or root.is_dir() else root.parent
    match spec.dataset:
        case "npz":
            parts = npz.parts(spec, root)
            train, test = (None if one is None else _Part(*one, seen=one[0]) for one in parts)
            assert train is not None
            return _described(train, test, [str(label) for label in range(int(train.labels.max()) + 1)])
        case "image_folder":
            found = find(spec, root)
            size = folder.inspect(spec, root).image_size
            tested = None if found.test is None else _pictures(found.test.files, found.test.labels, size)
            return _described(_pictures(found.pool.files, found.pool.labels, size), tested, found.classes)
        case _:
            return None


def _pictures(files: Sequence[str], labels: NDArray[np.int64], size: int) -> _Part:
    step = max(1, len(files) // DECODED)
    sample = files[::step][:DECODED]
    return _Part(
        labels, lambda: (decode(file, 3, min(size, 64)).numpy()[None] for file in sample), labels[::step][:DECODED]
    )


class _Values:
    """Range, mean and deviation of values that arrive in pieces."""

    def __init__(self) -> None:
        self.low, self.high = np.inf, -np.inf
        self._count, self._sum, self._squares = 0, 0.0, 0.0

    def add(self, values: NDArray[np.float64]) -> None:
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        self._count += values.size
        self._sum += float(values.sum())
        self._squares += float((values**2).sum())

    @property
    def mean(self) -> float:
        return self._sum / self._count

    @property
    def std(self) -> float:
        return float(np.sqrt(max(0.0, self._squares / self._count - self.mean**2)))


def _described(train: _Part, test: _Part | None, names: Sequence[str]) -> DataPreview:
    values, seen, tested, samples = _Values(), Descriptors(), Descriptors(), Samples(train.seen)
    shape, dtype = (0, 0, 0), "uint8"
    for chunk in train.chunks():
        shape, dtype = (chunk.shape[1], chunk.shape[2], chunk.shape[3]), str(chunk.dtype)
        values.add(chunk.astype(np.float64))
        seen.add(chunk)
        samples.add(chunk)
    for chunk in () if test is None else test.chunks():
        tested.add(chunk)
    counts = np.bincount(train.labels, minlength=len(names))
    test_counts = None if test is None else np.bincount(test.labels, minlength=len(names))
    classes = tuple(
        ClassCount(legible(name), int(counts[label]), None if test_counts is None else int(test_counts[label]))
        for label, name in enumerate(names)
    )
    warnings = [*_about_classes(classes), *_about_values(values, dtype)]
    if (share := share_seen(tested, seen)) >= NEAR_DUPLICATES:
        warnings.append(
            f"about {share:.0%} of the test images are nearly identical to a training image, so the test accuracy will "
            "be too good. Give test images that are not among the training images."
        )
    return DataPreview(
        images=len(train.labels),
        test_images=None if test is None else len(test.labels),
        channels=shape[0],
        height=shape[1],
        width=shape[2],
        values=dtype,
        low=values.low,
        high=values.high,
        mean=values.mean,
        std=values.std,
        classes=classes,
        warnings=tuple(warnings),
        samples=samples.pictures([one.name for one in classes], *_range_shown(values, dtype)),
    )


def _range_shown(values: _Values, dtype: str) -> tuple[float, float]:
    """The values that are black and white in a shown image. Bytes of 0 and 1 alone are shown as a mask is."""
    return (0.0, 255.0) if dtype == "uint8" and values.high > 1 else (values.low, values.high)


def _about_classes(classes: Sequence[ClassCount]) -> Iterator[str]:
    few = [f"{one.name} ({one.train})" for one in classes if one.train < FEW_IMAGES]
    if few:
        verb = "has" if len(few) == 1 else "have"
        yield f"{_listed(few)} {verb} fewer than {FEW_IMAGES} training images, too few to learn from and validate on."
    untested = [one.name for one in classes if one.test == 0]
    if untested:
        yield f"no test image is of {_listed(untested)}."


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return f"the class{'es' if len(names) > 1 else ''} {', '.join(names[:MAX_LISTED])}{more}"


def _about_values(values: _Values, dtype: str) -> Iterator[str]:
    if values.low == values.high:
        yield f"all pixels are {values.low:g}, so that a network cannot learn from them."
    elif dtype == "uint8" and values.high <= 1:
        yield "the bytes are 0 and 1 alone. If these were floats from 0 to 1, convert them by (255 * x).round()."
    elif dtype != "uint8" and values.low < 0 and abs(values.mean) < 1 and 0.2 < values.std < 5:
        yield (
            f"the images look normalised already ({values.low:.2f} to {values.high:.2f}, mean {values.mean:.2f}, "
            f"deviation {values.std:.2f}). The job normalises images by itself, and the result expects images as these "
            "are; give pixels from 0 to 255 if it is to take those."
        )
    elif dtype != "uint8" and values.low >= 0 and 1 < values.high <= 255:
        yield f"the images are {dtype} from {values.low:g} to {values.high:g}; uint8 would take a part of the bytes."
