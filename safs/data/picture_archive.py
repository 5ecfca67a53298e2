"""Unpacks zip and tar archives of pictures: plain files with safe names, up to a total size."""

import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from safs.data.class_folders import SUFFIXES, is_system_file
from safs.errors import DataError

MAX_FILES = 200_000
MAX_BYTES = 64 * 2**30
"""Largest size of all pictures of an archive."""


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack the pictures of ``archive`` into ``folder``; returns the folder that holds the class or split folders.

    Other files, hidden files and system files are left out. An outer folder, which most programs put around the files
    of a folder, is not part of the result.

    Raises:
        DataError: the archive is not readable, has a link or an unsafe name, or is too large.
    """
    folder.mkdir(exist_ok=True)
    left = MAX_BYTES
    try:
        with _members(archive) as members:
            for number, (name, size, content) in enumerate(members, 1):
                left -= size
                if number > MAX_FILES or left < 0:
                    raise _error(f"more than {MAX_FILES:,} pictures, or more than {MAX_BYTES:,} bytes")
                _write(folder / _safe(name), size, content)
    except DataError:
        raise
    except Exception as error:  # zipfile, tarfile and zlib raise all kinds of exceptions.
        raise _error(f"{error}") from error
    return _inside(folder)


def is_readable(path: Path) -> bool:
    """True for a zip archive and for a tar archive, plain or compressed by gzip."""
    if zipfile.is_zipfile(path):
        return True
    try:
        with _tar(path):
            return True
    except (tarfile.TarError, OSError, EOFError):
        return False


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[tuple[str, int, IO[bytes]]]]:
    """Names, sizes and contents of the pictures."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            yield (
                (info.filename, info.file_size, opened.open(info))
                for info in opened.infolist()
                if not info.is_dir() and _is_picture(info.filename)
            )
    else:
        with _tar(archive) as packed:
            yield _tar_members(packed)


def _tar(path: Path) -> tarfile.TarFile:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return tarfile.open(path, "r:gz" if zipped else "r:")


def _tar_members(packed: tarfile.TarFile) -> Iterator[tuple[str, int, IO[bytes]]]:
    for info in packed:
        if info.isdir() or not _is_picture(info.name):
            continue
        content = packed.extractfile(info) if info.isreg() and not info.issparse() else None
        if content is None:
            raise _error(f"{info.name!r} is a link or a device; only files are read")
        yield info.name, info.size, content


def _is_picture(name: str) -> bool:
    path = _safe(name)
    return path.suffix.lower() in SUFFIXES and not any(map(is_system_file, path.parts))


def _safe(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise _error(f"the name {name!r} leads out of it")
    return path


def _write(path: Path, size: int, content: IO[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with content, path.open("xb") as file:
        shutil.copyfileobj(content, file)
        if file.tell() != size:
            raise _error(f"{path.name!r} has {file.tell():,} bytes and should have {size:,}")


def _inside(folder: Path) -> Path:
    """The innermost folder that is not the only one in its folder, and is no class folder."""
    while True:
        entries = list(folder.iterdir())
        if len(entries) != 1 or not entries[0].is_dir() or not any(entry.is_dir() for entry in entries[0].iterdir()):
            return folder
        folder = entries[0]


def _error(what: str) -> DataError:
    return DataError(f"the archive of pictures cannot be read: {what}.", field="data.upload")
