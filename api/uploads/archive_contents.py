"""The content of an archive with a data set: arrays of images and labels, or pictures in class folders."""

from collections.abc import Iterator
from typing import NamedTuple

from api.uploads.npy_member import Array, read_array
from api.uploads.strict_safetensors import Refused, shown
from api.uploads.zip_members import Member

MAX_ARRAYS = 64
MAX_PICTURE_BYTES = 256 * 2**20
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".pgm", ".ppm", ".tif", ".tiff")
"""Suffixes of pictures, in lower case; those of ``safs.data.class_folders``."""
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF", b"II*\0", b"MM\0*", *(b"P%d" % n for n in range(1, 7)))
_TEST = ("x_test", "y_test")


class Found(NamedTuple):
    """The content of an archive."""

    kind: str
    """``arrays`` or ``pictures``."""
    images: int
    """Number of images, of all splits."""


def check_arrays(first: Member, others: Iterator[Member]) -> Found:
    """Check the members of an ``.npz``: ``x`` and ``y``, or ``x_train`` and ``y_train``; maybe ``x_test``, ``y_test``.

    Raises:
        Refused: an array is malformed or missing, or images and labels do not fit together.
    """
    arrays: dict[str, Array] = {}
    for name, size, content in _chained(first, others):
        if "/" in name or not name.endswith(".npy"):
            raise Refused(f"the archive holds {shown(name)} beside arrays; a .npz holds arrays alone")
        if len(arrays) == MAX_ARRAYS:
            raise Refused(f"the archive holds more than {MAX_ARRAYS} arrays")
        arrays[name.removesuffix(".npy")] = read_array(name.removesuffix(".npy"), size, content)
    train = ("x_train", "y_train") if {"x_train", "y_train"} & set(arrays) and "x" not in arrays else ("x", "y")
    parts = [train, _TEST] if set(_TEST) & set(arrays) else [train]
    for images, labels in parts:
        for name in (images, labels):
            if name not in arrays:
                has = ", ".join(map(shown, sorted(arrays)[:10]))
                raise Refused(f"the archive has no array {shown(name)}; it has {has}")
        _check_pair(images, arrays[images], labels, arrays[labels])
    return Found("arrays", sum(arrays[images].shape[0] for images, _ in parts))


def check_pictures(first: Member, others: Iterator[Member]) -> Found:
    """Check that every picture begins as one, and that there are any. Hidden files and other files are ignored.

    Raises:
        Refused: a picture is none or is too large; there are no pictures, or none is in a folder.
    """
    pictures, loose = 0, 0
    for name, size, content in _chained(first, others):
        if (size or 0) > MAX_PICTURE_BYTES:
            raise Refused(f"{shown(name)} has {size:,} bytes; the limit of a file is {MAX_PICTURE_BYTES:,}")
        is_picture = name.lower().endswith(PICTURE_SUFFIXES) and not _is_hidden(name)
        begin = _begin(name, content)
        if is_picture and not begin.startswith(_MAGIC):
            raise Refused(f"{shown(name)} is named as a picture and is none of JPEG, PNG, BMP, WEBP, PPM, PGM and TIFF")
        pictures += is_picture
        loose += is_picture and "/" not in name
    if pictures == loose:
        raise Refused(
            "the archive holds no pictures in folders; it must hold one folder for each class, with .jpg, .png, .bmp, "
            ".webp, .ppm, .pgm or .tif files, or the arrays of an .npz"
        )
    return Found("pictures", pictures)


def _chained(first: Member, others: Iterator[Member]) -> Iterator[Member]:
    yield first
    yield from others


def _begin(name: str, content: Iterator[bytes]) -> bytes:
    """The first bytes of the content, which is read to its end."""
    begin, size = b"", 0
    for chunk in content:
        begin = begin if len(begin) >= 8 else begin + chunk[:8]
        size += len(chunk)
        if size > MAX_PICTURE_BYTES:
            raise Refused(f"{shown(name)} has more than {MAX_PICTURE_BYTES:,} bytes, the limit of a file")
    return begin


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


def _check_pair(images: str, x: Array, labels: str, y: Array) -> None:
    is_bytes, is_float = (x.kind, x.itemsize) == ("u", 1), x.kind == "f" and x.itemsize in (2, 4, 8)
    if not is_bytes and not is_float:
        raise Refused(f"the array {shown(images)} must hold uint8 or floats of 16, 32 or 64 bits")
    if len(x.shape) not in (3, 4) or 0 in x.shape:
        raise Refused(
            f"the array {shown(images)} has shape {shown(str(x.shape))}; images are [N, H, W] or [N, C, H, W]"
        )
    if len(y.shape) == 2 and y.shape[0] == x.shape[0] and y.shape[1] > 1:
        raise Refused(
            f"the array {shown(labels)} has shape {shown(str(y.shape))}, as one-hot labels have; store "
            f"{labels}.argmax(1), one integer for each image"
        )
    if y.kind not in "iu" or y.shape != x.shape[:1]:
        raise Refused(
            f"the array {shown(labels)} has shape {shown(str(y.shape))}; it must hold {x.shape[0]} integers, one for "
            "each image"
        )
