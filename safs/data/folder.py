"""image_folder: the user's own pictures under the data root, in one folder for each class.

The layout is ``train/<class>/*``, with ``val/`` and ``test/`` beside it or split off it; or ``<class>/*`` alone, which
is split into all three. Pictures are scaled by their shorter side and cropped to the middle square.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from safs.data.arrays import MEMORY_LIMIT_BYTES, check_channels
from safs.data.file_split import FileSplit, decode, open_picture
from safs.data.locations import path_under_root
from safs.data.partition import Counts, Indices, counts_of, cut
from safs.data.split import DataInfo, Split, Splits
from safs.data.tensor_split import TensorSplit, mean_and_std
from safs.errors import DataError
from safs.spec.job import DataSpec

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".pgm", ".ppm", ".tif", ".tiff"})
STATISTICS_SAMPLES = 1024
"""Number of training pictures, evenly spaced, for mean and deviation if the pictures stay in files."""
MAX_WORKERS = 8
"""Largest number of decoding processes; below it, as many as torch has threads."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """Files, and the numbers of their classes, int64 [N]."""

    files: tuple[str, ...]
    labels: Indices

    def take(self, indices: Indices) -> "Pictures":
        return Pictures(tuple(self.files[index] for index in indices), self.labels[indices])


def inspect(spec: DataSpec, root: Path | None) -> DataInfo:
    """Lists the files, and opens the first training picture for size and channels."""
    found = _find(spec, root)
    counts = found.counts(spec)
    with open_picture(found.pool.files[0]) as first:
        channels, image_size = 1 if first.mode in ("1", "L", "LA", "I;16") else 3, min(first.size)
    validation = counts.validation if found.validation is None else len(found.validation.files)
    test = counts.test if found.test is None else len(found.test.files)
    return DataInfo(channels, image_size, len(found.classes), counts.train, validation, test)


def load(
    spec: DataSpec,
    root: Path | None,
    channels: int,
    image_size: int,
    seed: int,
    memory_limit_bytes: int = MEMORY_LIMIT_BYTES,
) -> Splits:
    """The three splits, decoded in advance if they take at most ``memory_limit_bytes`` as uint8."""
    found = _find(spec, root)
    check_channels(1 if channels == 1 else 3, channels)  # Decoding converts to grey or RGB.
    train, validation, test = (found.pool.take(part) for part in cut(found.pool.labels, found.counts(spec), seed))
    parts = (train, found.validation or validation, found.test or test)
    crop_and_flip = spec.augment == "default"
    classes = len(found.classes)
    made: list[Split]
    if sum(len(part.files) for part in parts) * channels * image_size**2 <= memory_limit_bytes:
        images = [_decode_all(part.files, channels, image_size) for part in parts]
        mean, std = mean_and_std(images[0])
        made = [
            TensorSplit(pixels, _labels(part), mean, std, classes, channels, image_size, crop_and_flip)
            for pixels, part in zip(images, parts, strict=True)
        ]
    else:
        mean, std = mean_and_std(_decode_all(_evenly_spaced(train.files), channels, image_size))
        workers = min(MAX_WORKERS, torch.get_num_threads())
        made = [
            FileSplit(part.files, _labels(part), mean, std, classes, channels, image_size, crop_and_flip, workers)
            for part in parts
        ]
    return Splits(made[0], made[1], made[2], classes)


@dataclass(frozen=True, slots=True)
class _Found:
    classes: tuple[str, ...]
    pool: Pictures
    """Pictures to train on, and to split off the splits that are None."""
    validation: Pictures | None
    test: Pictures | None

    def counts(self, spec: DataSpec) -> Counts:
        return counts_of(
            len(self.pool.files),
            spec.validation_fraction if self.validation is None else 0.0,
            spec.test_fraction if self.test is None else 0.0,
        )


def _find(spec: DataSpec, root: Path | None) -> _Found:
    folder = path_under_root(spec, root)
    if not folder.is_dir():
        raise DataError(f"data.path {spec.path!r} is not a folder.", field="data.path")
    has_train = (folder / "train").is_dir()
    base = folder / "train" if has_train else folder
    classes = tuple(sorted(entry.name for entry in base.iterdir() if entry.is_dir()))
    if len(classes) < 2:
        raise DataError(f"{base} has {len(classes)} sub folders; it needs one a class, two or more.", field="data.path")
    inside = folder if root is None else root.resolve()
    parts = [
        _list(folder / name, classes, inside) if has_train and (folder / name).is_dir() else None
        for name in ("val", "test")
    ]
    return _Found(classes, _list(base, classes, inside), parts[0], parts[1])


def _list(base: Path, classes: tuple[str, ...], inside: Path) -> Pictures:
    """All pictures of ``base``'s class folders in the order of their names."""
    files: list[str] = []
    labels: list[int] = []
    for entry in sorted(base.iterdir()):
        if not entry.is_dir():
            continue
        if entry.name not in classes:
            raise DataError(f"{entry} is no class of the training pictures ({', '.join(classes)}).", field="data.path")
        pictures = [str(file) for file in _pictures(_inside(base, inside) / entry.name, inside)]
        files += pictures
        labels += [classes.index(entry.name)] * len(pictures)
    if not files:
        raise DataError(f"{base} holds no pictures ({', '.join(sorted(SUFFIXES))}).", field="data.path")
    return Pictures(tuple(files), np.array(labels, dtype=np.int64))


def _pictures(folder: Path, inside: Path) -> list[Path]:
    entries = sorted(_inside(folder, inside).iterdir())
    return [_inside(entry, inside) for entry in entries if entry.suffix.lower() in SUFFIXES and entry.is_file()]


def _inside(path: Path, inside: Path) -> Path:
    """``path``, resolved if it is a link; raises DataError if the link leads out of ``inside``, the data root."""
    if not path.is_symlink():
        return path
    try:
        resolved = path.resolve()
    except RuntimeError as error:
        raise DataError(f"{path} is a link to itself.", field="data.path") from error
    if not resolved.is_relative_to(inside):
        raise DataError(f"{path} is a link that leads out of the data root.", field="data.path")
    return resolved


def _decode_all(files: tuple[str, ...], channels: int, image_size: int) -> Tensor:
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:  # Pillow releases the GIL while it decodes.
        return torch.stack(list(pool.map(lambda file: decode(file, channels, image_size), files)))


def _evenly_spaced(files: tuple[str, ...]) -> tuple[str, ...]:
    return files[:: max(1, len(files) // STATISTICS_SAMPLES)][:STATISTICS_SAMPLES]


def _labels(pictures: Pictures) -> Tensor:
    return torch.from_numpy(pictures.labels)
