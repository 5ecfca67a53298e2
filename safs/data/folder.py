"""image_folder: the user's own pictures under the data root, in one folder for each class.

The layout is ``train/<class>/*``, with ``val/`` and ``test/`` beside it or split off it; or ``<class>/*`` alone, which
is split into all three. Pictures are scaled by their shorter side and cropped to the middle square.
"""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median_low

import torch
from torch import Tensor

from safs.data.arrays import MEMORY_LIMIT_BYTES, check_channels
from safs.data.class_folders import Pictures, find
from safs.data.decoders import Decoders
from safs.data.file_split import FileSplit, decode, open_picture
from safs.data.normalisation import normalisation
from safs.data.partition import cut
from safs.data.split import DataInfo, Split, Splits
from safs.data.tensor_split import TensorSplit
from safs.data.training_images import notes_about
from safs.spec.data import DataSpec

STATISTICS_SAMPLES = 1024
"""Number of training pictures, evenly spaced, for mean and deviation if the pictures stay in files."""
HEADER_SAMPLES = 10_000
"""Largest number of pictures, evenly spaced, whose headers give size and channels."""
MAX_WORKERS = 8
"""Largest number of decoding processes; below it, as many as torch has threads."""


def inspect(spec: DataSpec, root: Path | None, left_out: Collection[str] = ()) -> DataInfo:
    """List the files, and read the pictures' headers: the median size, and colour if any picture has colours.

    Args:
        left_out: names of folders that are no class.
    """
    found = find(spec, root, left_out)
    counts = found.counts(spec)
    with ThreadPoolExecutor(MAX_WORKERS) as pool:  # Pillow and the file system release the GIL.
        headers = list(pool.map(_header, _evenly_spaced(found.files, HEADER_SAMPLES)))
    channels = 1 if all(grey for grey, _ in headers) else 3
    validation = counts.validation if found.validation is None else len(found.validation.files)
    test = counts.test if found.test is None else len(found.test.files)
    size = median_low(size for _, size in headers)
    return DataInfo(channels, size, len(found.classes), counts.train, validation, test, found.notes)


def load(
    spec: DataSpec,
    root: Path | None,
    channels: int,
    image_size: int,
    seed: int,
    memory_limit_bytes: int = MEMORY_LIMIT_BYTES,
    left_out: Collection[str] = (),
) -> Splits:
    """The three splits, decoded in advance if they take at most ``memory_limit_bytes`` as uint8.

    Args:
        left_out: names of folders that are no class.
    """
    found = find(spec, root, left_out)
    check_channels(1 if channels == 1 else 3, channels)  # Decoding converts to grey or RGB.
    train, validation, test = (found.pool.take(part) for part in cut(found.pool.labels, found.counts(spec), seed))
    parts = (train, found.validation or validation, found.test or test)
    crop_and_flip = spec.augment == "default"
    classes = len(found.classes)
    splits: list[Split]
    if sum(len(part.files) for part in parts) * channels * image_size**2 <= memory_limit_bytes:
        images = [_decode_all(part.files, channels, image_size) for part in parts]
        sample = images[0]
        mean, std = normalisation(spec, sample, channels)
        splits = [
            TensorSplit(pixels, _labels(part), mean, std, classes, channels, image_size, crop_and_flip)
            for pixels, part in zip(images, parts, strict=True)
        ]
    else:
        sample = _decode_all(_evenly_spaced(train.files, STATISTICS_SAMPLES), channels, image_size)
        mean, std = normalisation(spec, sample, channels)
        workers, decoders = min(MAX_WORKERS, torch.get_num_threads()), Decoders()
        splits = [
            FileSplit(
                part.files,
                _labels(part),
                mean,
                std,
                classes,
                channels,
                image_size,
                crop_and_flip,
                workers,
                decoders=decoders,
            )
            for part in parts
        ]
    notes = notes_about(sample, _labels(train), found.classes)
    return Splits(splits[0], splits[1], splits[2], classes, notes)


def _header(file: str) -> tuple[bool, int]:
    """True if the picture is grey, and the pixels of its shorter side."""
    with open_picture(file) as picture:
        return picture.mode in ("1", "L", "LA", "La", "F") or picture.mode.startswith("I"), min(picture.size)


def _decode_all(files: tuple[str, ...], channels: int, image_size: int) -> Tensor:
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:  # Pillow releases the GIL while it decodes.
        return torch.stack(list(pool.map(lambda file: decode(file, channels, image_size), files)))


def _evenly_spaced(files: tuple[str, ...], most: int) -> tuple[str, ...]:
    return files[:: max(1, len(files) // most)][:most]


def _labels(pictures: Pictures) -> Tensor:
    return torch.from_numpy(pictures.labels)
