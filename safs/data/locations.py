"""Locations of data sets: paths under the data root, and servers to download missing files from."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.error import URLError
from urllib.request import Request, urlopen

from safs.errors import DataError
from safs.spec.data import DataSpec

REACH_TIMEOUT_S = 3.0


def path_under_root(spec: DataSpec, root: Path | None) -> Path:
    """The resolved ``spec.path``. It exists, and it lies under ``root`` even if it is a symbolic link.

    Raises:
        DataError: no root or path is given, the path leads out of the root, or nothing exists there.
    """
    if spec.path is None:
        raise DataError(f"dataset {spec.dataset!r} needs data.path, relative to the data root.", field="data.path")
    root = required(root, spec.dataset).resolve()
    relative = PurePosixPath(spec.path)
    if relative.is_absolute() or ".." in relative.parts or "\0" in spec.path:
        raise DataError(
            f"data.path {spec.path!r} must be relative to the data root, without '..' and without NUL.",
            field="data.path",
        )
    try:
        path = (root / relative).resolve()
        exists = path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # A name too long, a loop of links, a lone surrogate.
        raise DataError(f"data.path {spec.path!r} is not a usable path: {error}.", field="data.path") from error
    if not path.is_relative_to(root):
        raise DataError(f"data.path {spec.path!r} is a link that leads out of the data root.", field="data.path")
    if not exists:
        raise DataError(f"data.path {spec.path!r} does not exist under the data root ({root}).", field="data.path")
    return path


def open_resolved(path: Path) -> BinaryIO:
    """Open a file at a path that was resolved and checked before, without following any link that replaced a part.

    Raises:
        OSError: the file cannot be opened, is not a regular file (a pipe or a device, for example), or is now a link.
    """
    folder = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in path.parts[1:-1]:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        # Without O_NONBLOCK, opening a pipe would block until a writer opens it.
        opened = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    finally:
        os.close(folder)
    file = os.fdopen(opened, "rb")
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        file.close()
        raise OSError(f"{path} is not a regular file")
    return file


def required(root: Path | None, dataset: str) -> Path:
    """``root``; raises DataError if it is None."""
    if root is None:
        raise DataError(
            f"dataset {dataset!r} needs a data root, the folder for its files: set SAFS_DATA_ROOT or --data-root.",
            field="data.dataset",
        )
    return root


def reachable(urls: Iterable[str]) -> bool:
    """True if a HEAD request to any of the URLs succeeds, each within ``REACH_TIMEOUT_S`` seconds."""
    return any(_answers(url) for url in urls)


def _answers(url: str) -> bool:
    try:
        with urlopen(Request(url, method="HEAD"), timeout=REACH_TIMEOUT_S):
            return True
    except (URLError, OSError, ValueError):
        return False


def missing(dataset: str, looked_in: Iterable[Path], urls: Iterable[str], hint: str = "") -> DataError:
    """The error for files that are missing and cannot be downloaded; ``hint`` is one more way to get them."""
    return DataError(
        f"dataset {dataset!r} is not in {' or in '.join(map(str, looked_in))}, and it could not be downloaded from "
        f"{' or '.join(urls)}. Put its files there, or give this machine access to the server.{hint}",
        field="data.dataset",
    )
