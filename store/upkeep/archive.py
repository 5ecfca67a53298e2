"""A backup on disk: a folder, or one tar file.

No name from a tar file is ever used as a path.
"""

import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Protocol, cast

from store.errors import BadBackup

SUFFIX = ".tar"


class Writer(Protocol):
    """A backup that is being written; each name is added once."""

    def add(self, name: str, file: Path) -> None:
        """Copy ``file`` into the backup as ``name``, such as ``tables/jobs.jsonl``."""


class Reader(Protocol):
    """A backup that is being read."""

    def open(self, name: str) -> AbstractContextManager[BufferedReader]:
        """The file as a stream; raises ``BadBackup`` if the backup has no file of this name."""


@contextmanager
def create_archive(target: Path) -> Iterator[Writer]:
    """A new backup: a tar file if the name ends in ``.tar``, else a folder.

    It is written under a temporary name and renamed at the end of the block; nothing stays if the block raises.

    Raises:
        FileExistsError: ``target`` exists.
    """
    if target.exists():
        raise FileExistsError(f"{target} already exists; choose another name, or move it away")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial")
    _remove(partial)
    try:
        if target.suffix == SUFFIX:
            with partial.open("wb") as stream:
                with tarfile.open(fileobj=stream, mode="w") as tar:
                    yield _TarWriter(tar)
                stream.flush()
                os.fsync(stream.fileno())
        else:
            partial.mkdir()
            yield _FolderWriter(partial)
            for folder, _, _ in os.walk(partial):
                _sync_folder(Path(folder))
        os.rename(partial, target)
    except BaseException:
        _remove(partial)
        raise
    _sync_folder(target.parent)


@contextmanager
def open_archive(source: Path) -> Iterator[Reader]:
    """An existing backup; raises ``BadBackup`` if ``source`` is none."""
    if source.is_dir():
        yield _FolderReader(source)
        return
    try:
        tar = tarfile.open(source, "r:")  # noqa: SIM115 - closed below; errors of the caller's block are not caught
    except (OSError, tarfile.TarError) as error:
        raise BadBackup(f"{source} is neither a folder nor a tar file that `safs backup` made: {error}") from error
    with tar:
        yield _TarReader(tar, source)


class _FolderWriter:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, name: str, file: Path) -> None:
        copy = self._folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        with file.open("rb") as source, copy.open("xb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
            target.flush()
            os.fsync(target.fileno())


class _TarWriter:
    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar

    def add(self, name: str, file: Path) -> None:
        entry = tarfile.TarInfo(name)
        with file.open("rb") as stream:
            found = os.fstat(stream.fileno())
            entry.size, entry.mtime, entry.mode = found.st_size, int(found.st_mtime), 0o644
            self._tar.addfile(entry, stream)


class _FolderReader:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def open(self, name: str) -> Iterator[BufferedReader]:
        try:
            stream = (self._folder / name).open("rb")
        except OSError as error:
            raise BadBackup(f"the backup {self._folder} has no {name}: {error.strerror}") from error
        with stream:
            yield stream


class _TarReader:
    def __init__(self, tar: tarfile.TarFile, source: Path) -> None:
        self._tar, self._source = tar, source
        self._entries: dict[str, tarfile.TarInfo] | None = None

    @contextmanager
    def open(self, name: str) -> Iterator[BufferedReader]:
        entry = self._index().get(name)
        stream = None if entry is None else self._tar.extractfile(entry)
        if stream is None:
            raise BadBackup(f"the backup {self._source} has no {name}")
        with stream:
            yield cast("BufferedReader", stream)  # extractfile is annotated with a wider type

    def _index(self) -> dict[str, tarfile.TarInfo]:
        if self._entries is None:
            try:
                self._entries = {entry.name: entry for entry in self._tar if entry.isreg()}
            except (OSError, tarfile.TarError) as error:
                raise BadBackup(f"the backup {self._source} cannot be read to its end: {error}") from error
        return self._entries


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
