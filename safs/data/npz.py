"""npz: the user's own arrays in one numpy archive under the data root.

``x`` is [N, H, W], [N, C, H, W] or [N, H, W, C] with 1 to 4 channels, uint8 or float; ``y`` is [N], integers from 0
without gaps. They may be called ``x_train`` and ``y_train``. ``x_test`` and ``y_test`` may give the test split; without
them it is split off x. Nothing in the file is unpickled.
"""

import zipfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from math import prod
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from safs.data.arrays import Arrays, Labelled, Outline, as_labelled
from safs.data.locations import open_resolved, path_under_root
from safs.errors import DataError
from safs.spec.data import DataSpec

MAX_CHANNELS = 4
MAX_BYTES = 8 * 2**30
"""Largest size of an unpacked array, which is read into memory."""
MAX_SAMPLES = 20_000_000
"""Largest number of samples of an array."""
PIECE_BYTES = 2**24
"""Bytes of images that are read at once for a preview."""
MAX_NAMES = 10
"""Largest number of array names or labels in an error message."""
Result = TypeVar("Result")
LazyPart = tuple[NDArray[np.int64], Callable[[], Iterator[NDArray[np.generic]]]]
"""Labels of a split, and a function that reads its images in pieces."""
_Header = tuple[tuple[int, ...], np.dtype[np.generic]]


def outline(spec: DataSpec, root: Path | None) -> Outline:
    """Sizes, from the labels and the headers of the images."""
    path = path_under_root(spec, root)
    headers = _opened(path, lambda archive: {name: _header(archive, name) for name in _names(archive, path)})
    x, y = names_of_training(headers)
    layout = _check_images(headers[x], x)
    labels = _read_labels(path, y, headers[x][0][0])
    _check_classes(labels)
    test_samples = None
    if "x_test" in headers:
        if _check_images(headers["x_test"], "x_test") != layout:
            raise _error(f"{x} has images of {layout}, x_test has others")
        test_samples = headers["x_test"][0][0]
        if unknown := set(_read_labels(path, "y_test", test_samples).tolist()) - set(labels.tolist()):
            raise _error(f"y_test has the {_listed(unknown)}, which y does not have, so no image can train it")
    channels, height, width = layout
    return Outline(channels, min(height, width), int(labels.max()) + 1, headers[x][0][0], test_samples)


def read(spec: DataSpec, root: Path | None) -> Arrays:
    """Read the arrays; float images keep their values as float32."""
    described, path = outline(spec, root), path_under_root(spec, root)
    names = _opened(path, lambda archive: _names(archive, path))
    samples = _read_part(path, *names_of_training(names))
    test = None if described.test_samples is None else _read_part(path, "x_test", "y_test")
    return Arrays(samples, test, described.classes, crop_and_flip=False)


def parts(spec: DataSpec, root: Path | None) -> tuple[LazyPart, LazyPart | None]:
    """Labels, and a function that reads the images in pieces [N, C, H, W], of the training and the test arrays."""
    path = path_under_root(spec, root)
    names = _opened(path, lambda archive: _names(archive, path))
    train, test = names_of_training(names), ("x_test", "y_test")
    found: list[LazyPart] = []
    for images, labels in [train, test] if "x_test" in names else [train]:
        (samples, *_), _ = _opened(path, partial(_header, name=images))
        found.append((_read_labels(path, labels, samples), partial(_pieces, path, images)))
    return found[0], found[1] if len(found) > 1 else None


def _pieces(path: Path, name: str) -> Iterator[NDArray[np.generic]]:
    """The images of an array in pieces of at most ``PIECE_BYTES``, but of one image or more."""
    with open_resolved(path) as file, zipfile.ZipFile(file) as archive:
        (samples, *shape), dtype = _header(archive, name)
        if _is_fortran(archive, name):
            yield _channels_first(_read_array(path, name))
            return
        each = prod(shape) * dtype.itemsize
        with archive.open(f"{name}.npy") as member:
            member.read(archive.getinfo(f"{name}.npy").file_size - samples * each)
            rows = max(1, PIECE_BYTES // each)
            for begin in range(0, samples, rows):
                count = min(rows, samples - begin)
                content = np.frombuffer(member.read(count * each), dtype)
                yield _channels_first(content.reshape(count, *shape))


def _is_fortran(archive: zipfile.ZipFile, name: str) -> bool:
    with archive.open(f"{name}.npy") as file:
        return b"'fortran_order': True" in file.read(256)


def names_of_training(names: Iterable[str]) -> tuple[str, str]:
    """The names of the training images and labels in an archive with arrays of ``names``."""
    return ("x", "y") if not {"x_train", "y_train"} & set(names) or "x" in names else ("x_train", "y_train")


def _names(archive: zipfile.ZipFile, path: Path) -> list[str]:
    """Names of the arrays that this data set needs; all of them are in the archive."""
    present = [name.removesuffix(".npy") for name in archive.namelist()]
    needed = [*names_of_training(present)] + (["x_test", "y_test"] if {"x_test", "y_test"} & set(present) else [])
    if absent := [name for name in needed if name not in present]:
        has = ", ".join(present[:MAX_NAMES]) or "none"
        raise _error(f"{path.name} has no array {', '.join(map(repr, absent))}; it has {has}")
    return needed


def _header(archive: zipfile.ZipFile, name: str) -> _Header:
    with archive.open(f"{name}.npy") as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file)
        described = file.tell() + prod(shape) * dtype.itemsize
    announced = archive.getinfo(f"{name}.npy").file_size
    if dtype.hasobject:
        raise _error(f"{name} holds {dtype}, which would be unpickled; object arrays are not loaded")
    if min(shape, default=0) < 0 or announced != described:
        raise _error(f"{name} of shape {shape} and {dtype} needs {described} bytes, and the archive has {announced}")
    if described > MAX_BYTES or (shape and shape[0] > MAX_SAMPLES):
        raise _error(
            f"{name} has {described:,} bytes; at most {MAX_BYTES:,} and {MAX_SAMPLES:,} samples are read. Give a "
            "larger data set as an image_folder, which is read batch by batch"
        )
    return shape, dtype


def _check_images(header: _Header, name: str) -> tuple[int, int, int]:
    """Channels, height and width of an array of images; raises DataError if it is none."""
    shape, dtype = header
    if dtype != np.uint8 and dtype.kind != "f":
        raise _error(f"{name} holds {dtype}; images are uint8 or float")
    if 0 in shape:
        raise _error(f"{name} of shape {shape} is empty")
    if len(shape) == 3:
        return 1, shape[1], shape[2]
    if len(shape) == 4 and shape[1] <= MAX_CHANNELS:
        return shape[1], shape[2], shape[3]
    if len(shape) == 4 and shape[3] <= MAX_CHANNELS:
        return shape[3], shape[1], shape[2]
    raise _error(f"{name} has shape {shape}; images are [N, H, W], [N, C, H, W] or [N, H, W, C] with C up to 4")


def _read_labels(path: Path, name: str, samples: int) -> NDArray[np.int64]:
    labels = _read_array(path, name)
    if labels.ndim == 2 and labels.shape[0] == samples and labels.shape[1] > 1:
        raise _error(f"{name} has shape {labels.shape}, as one-hot labels have; store {name}.argmax(1)")
    if labels.dtype.kind not in "iu" or labels.shape != (samples,):
        raise _error(
            f"{name} has shape {labels.shape} and holds {labels.dtype}; "
            f"it must hold {samples} integers, one for each image"
        )
    if labels.min() < 0:
        raise _error(f"{name} holds the negative label {labels.min()}; labels count from 0")
    return labels.astype(np.int64)


def _check_classes(labels: NDArray[np.int64]) -> None:
    """Raise DataError unless the labels are 0, 1, 2, ... without a gap, and two or more."""
    present = np.unique(labels)
    if len(present) == 1:
        raise _error(f"y has only the {_listed(present)}; a classification needs two classes or more")
    if present[-1] != len(present) - 1:
        absent = np.setdiff1d(np.arange(min(int(present[-1]), len(present) + MAX_NAMES)), present)
        remedy = "store y - 1" if absent.tolist() == [0] else "number the classes 0, 1, 2, ... (numpy.unique does it)"
        raise _error(
            f"y has the labels {present[0]} to {present[-1]}, and no image has the {_listed(absent)}. Every class "
            f"needs images: {remedy}"
        )


def _listed(labels: Iterable[int]) -> str:
    """``label 3``, or ``labels 1, 2, ...`` for several.

    >>> _listed([3]), _listed({1, 2})
    ('label 3', 'labels 1, 2')
    """
    names = [str(label) for label in sorted(labels)]
    more = ", ..." if len(names) > MAX_NAMES else ""
    return f"label{'s' if len(names) > 1 else ''} {', '.join(names[:MAX_NAMES])}{more}"


def _read_part(path: Path, images_name: str, labels_name: str) -> Labelled:
    images = _channels_first(_read_array(path, images_name))
    if images.dtype != np.uint8:
        with np.errstate(over="ignore"):  # Overflow becomes infinite, which is refused next.
            images = images.astype(np.float32)
        if not np.isfinite(images).all():
            raise _error(f"{images_name} has values that are not finite")
    return as_labelled(images, _read_labels(path, labels_name, len(images)))


def _channels_first(images: NDArray[np.generic]) -> NDArray[np.generic]:
    """Images [N, H, W], [N, C, H, W] or [N, H, W, C] as [N, C, H, W]."""
    if images.ndim == 3:
        return images[:, None]
    return images.transpose(0, 3, 1, 2) if images.shape[1] > MAX_CHANNELS else images


def _read_array(path: Path, name: str) -> NDArray[np.generic]:
    def read(archive: zipfile.ZipFile) -> NDArray[np.generic]:
        _header(archive, name)  # Before memory is taken for what it says.
        with archive.open(f"{name}.npy") as file:
            array: NDArray[np.generic] = np.lib.format.read_array(file, allow_pickle=False)
            return array

    return _opened(path, read)


def _opened(path: Path, use: Callable[[zipfile.ZipFile], Result]) -> Result:
    """The result of ``use`` for the open archive; damage of any kind becomes a DataError."""
    try:
        with open_resolved(path) as file, zipfile.ZipFile(file) as archive:
            return use(archive)
    except DataError:
        raise
    except Exception as error:  # zipfile, its decompressors and numpy raise all kinds of exceptions.
        raise _error(f"{path.name} is not a readable numpy archive: {error}") from error


def _error(what: str) -> DataError:
    return DataError(f"{what}.", field="data.path")
