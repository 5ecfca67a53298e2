"""Where data sets are: paths that must stay under the data root, and servers that may have what is missing."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.error import URLError
from urllib.request import Request, urlopen

from safs.errors import DataError
from safs.spec.job import DataSpec

REACH_TIMEOUT_S = 3.0


def path_under_root(spec: DataSpec, root: Path | None) -> Path:
    """The resolved ``spec.path``, which exists and lies under ``root`` even where it is a symbolic link.

    Raises:
        DataError: no root or path is given, the path leads out of the root, or there is nothing.
    """
    if spec.path is None:
        raise DataError(f"dataset {spec.dataset!r} needs data.path, relative to the data root.", field="data.path")
    root = required(root, spec.dataset).resolve()
    relative = PurePosixPath(spec.path)
    if relative.is_absolute() or ".." in relative.parts or "\0" in spec.path:
        raise DataError(
            f"data.path {spec.path!r} must be relative to the data root and hold no '..' and no NUL.", field="data.path"
        )
    try:
        path = (root / relative).resolve()
        there = path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # Too long a name, links in a circle, half a character.
        raise DataError(f"data.path {spec.path!r} is no path: {error}.", field="data.path") from error
    if not path.is_relative_to(root):
        raise DataError(f"data.path {spec.path!r} is a link that leads out of the data root.", field="data.path")
    if not there:
        raise DataError(f"there is no {spec.path!r} under the data root ({root}).", field="data.path")
    return path


def open_resolved(path: Path) -> BinaryIO:
    """The file at a path that has been resolved and checked; if there is a link in it by now, it is not followed.

    Raises:
        OSError: it cannot be opened, is no regular file (but a pipe or a device, say), or has become a link.
    """
    folder = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in path.parts[1:-1]:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        # Without O_NONBLOCK, opening a pipe would wait for somebody who writes to it.
        opened = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    finally:
        os.close(folder)
    file = os.fdopen(opened, "rb")
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        file.close()
        raise OSError(f"{path} is no regular file")
    return file


def required(root: Path | None, dataset: str) -> Path:
    """``root``, or DataError where there is none."""
    if root is None:
        raise DataError(
            f"dataset {dataset!r} needs a folder for its files: set SAFS_DATA_ROOT (or --data-root).",
            field="data.dataset",
        )
    return root


def reachable(urls: Iterable[str]) -> bool:
    """Whether any of the URLs answers that it has the file; asks each for ``REACH_TIMEOUT_S`` seconds at most."""
    return any(_answers(url) for url in urls)


def _answers(url: str) -> bool:
    try:
        with urlopen(Request(url, method="HEAD"), timeout=REACH_TIMEOUT_S):
            return True
    except (URLError, OSError, ValueError):
        return False


def missing(dataset: str, looked_in: Iterable[Path], urls: Iterable[str], way_out: str = "") -> DataError:
    """The error for files that are neither here nor to be had."""
    return DataError(
        f"dataset {dataset!r} is not in {' nor in '.join(map(str, looked_in))}, and it could not be downloaded from "
        f"{' or '.join(urls)}. Put its files there, or let this machine reach the server.{way_out}",
        field="data.dataset",
    )
