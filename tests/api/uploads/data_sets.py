"""Files of data sets, made here: arrays in an npz, and pictures in zip and tar archives."""

import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Images = NDArray[np.generic]


def npz(*, save: Callable[..., Any] = np.savez, **arrays: Any) -> bytes:
    """An npz file with these arrays."""
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def blobs(count: int = 60, *, classes: int = 3, size: int = 12, seed: int = 0) -> tuple[Images, Images]:
    """Images uint8 [N, 1, size, size] whose brightness tells the class, and labels [N]; each class has as many."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    images = random.integers(0, 60, (count, 1, size, size)) + (labels * 60)[:, None, None, None]
    return images.astype(np.uint8), labels


def parts(**more: Any) -> bytes:
    """A good npz file."""
    x, y = blobs()
    x_test, y_test = blobs(30, seed=1)
    return npz(**{"x": x, "y": y, "x_test": x_test, "y_test": y_test} | more)


def picture(value: int = 0, *, size: int = 12, form: str = "PNG") -> bytes:
    """A picture of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (size, size), (value, 255 - value, 40)).save(file, form)
    return file.getvalue()


def folders(classes: int = 2, each: int = 10, outer: str = "") -> dict[str, bytes]:
    """Names and contents of a small image folder."""
    return {
        f"{outer}class{label}/{number}.png": picture(label * 90 + number)
        for label in range(classes)
        for number in range(each)
    }


def zipped(files: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", compression) as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return archive.getvalue()


def tarred(files: Mapping[str, bytes], mode: Any = "w:gz", form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar archive."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode=mode, format=form) as opened:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
    return archive.getvalue()
