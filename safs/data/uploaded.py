"""upload: a data set that the user sent to the service, as arrays in an ``.npz`` or as an archive of pictures.

``opened`` makes the file readable. Its result is the root that ``inspect`` and ``load`` take: the ``.npz`` itself, or
the folder of the unpacked pictures.
"""

import hashlib
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from safs.data import folder, npz, picture_archive
from safs.data.arrays import inspect_arrays, load_arrays
from safs.data.file_split import FileSplit, Origin
from safs.data.split import DataInfo, Split, Splits
from safs.errors import DataError
from safs.spec.data import DataSpec

IDENTITY = ".sha256"
"""File among the unpacked pictures that holds the hash of their archive."""
Result = TypeVar("Result")


@contextmanager
def opened(file: Path) -> Iterator[Path]:
    """Yield the root of the data set in ``file``. Unpacked pictures are deleted when the block ends.

    A folder of pictures is its own root.

    Raises:
        DataError: the file is neither an ``.npz`` nor an archive of pictures.
    """
    if file.is_dir():
        yield file
        return
    if not file.is_file():
        raise DataError(f"data.upload {str(file)!r} does not exist.", field="data.upload")
    if _holds_arrays(file):
        yield file
        return
    if not picture_archive.is_readable(file):
        raise DataError(
            f"{file.name} is neither an .npz of arrays nor a .zip, .tar or .tar.gz of pictures.", field="data.upload"
        )
    with tempfile.TemporaryDirectory(prefix="safs-pictures-") as outer:
        root = picture_archive.unpack(file, Path(outer))
        with file.open("rb") as archive:
            digest = hashlib.file_digest(archive, "sha256").hexdigest()
        (root / IDENTITY).write_text(digest)
        yield root


def inspect(spec: DataSpec, root: Path | None) -> DataInfo:
    """Sizes of the data set; raises DataError if it is malformed."""
    file, place = _located(spec, root)
    if file.is_file():
        return _named(file, lambda: inspect_arrays(npz, place, file.parent))
    return _named(file, lambda: folder.inspect(place, file))


def load(spec: DataSpec, root: Path | None, channels: int, image_size: int, seed: int) -> Splits:
    """The three splits; raises DataError if the data set is malformed."""
    file, place = _located(spec, root)
    if file.is_file():
        return _named(file, lambda: load_arrays(npz, place, file.parent, channels, image_size, seed))
    splits = _named(file, lambda: folder.load(place, file, channels, image_size, seed))
    if not (file / IDENTITY).is_file():
        return splits
    origin = Origin(str(file), (file / IDENTITY).read_text())
    parts = [replace(part, origin=origin) if isinstance(part, FileSplit) else part for part in _parts(splits)]
    return replace(splits, train=parts[0], validation=parts[1], test=parts[2])


def located(spec: DataSpec, root: Path | None) -> DataSpec:
    """``spec`` as that of an ``npz`` or ``image_folder`` data set at ``root``, a result of ``opened``."""
    return _located(spec, root)[1]


def _located(spec: DataSpec, root: Path | None) -> tuple[Path, DataSpec]:
    if root is None:
        raise DataError("data.upload is not available here.", field="data.upload")
    if root.is_file():
        return root, spec.model_copy(update={"dataset": "npz", "path": root.name, "upload": None})
    return root, spec.model_copy(update={"dataset": "image_folder", "path": ".", "upload": None})


def _holds_arrays(file: Path) -> bool:
    if not zipfile.is_zipfile(file):
        return False
    try:
        with zipfile.ZipFile(file) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError, OSError):
        return False  # The reader of pictures, which comes next, refuses what it cannot read.


def _named(root: Path, use: Callable[[], Result]) -> Result:
    """The result of ``use``; its errors name the upload in place of the path where it was stored or unpacked."""
    try:
        return use()
    except DataError as error:
        message = str(error).replace("data.path '.'", "the upload").replace(f"{root}/", "")
        message = message.replace(root.name if root.is_file() else str(root), "the upload")
        field = "data.upload" if error.field == "data.path" else error.field
        raise DataError(message, field=field) from error


def _parts(splits: Splits) -> tuple[Split, Split, Split]:
    return splits.train, splits.validation, splits.test
