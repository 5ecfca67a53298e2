"""Object storage behind the artifacts' folder: any that fsspec speaks to (S3, GCS, Azure, SFTP, a mounted folder)."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit
from uuid import uuid4

from store.errors import ArtifactNotFound, StorageUnavailable, StoreError

CHUNK_BYTES = 1 << 20
INCOMING = "incoming-"

_SUBFOLDER = re.compile(r"[0-9a-f]{2}")
_OURS = re.compile(rf"[0-9a-f]{{64}}|{INCOMING}[0-9a-f]{{32}}")
_WHOLE_AT_ONCE = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "az", "oci", "oss"})
"""Protocols whose objects appear once they are whole; elsewhere a file grows before everybody's eyes."""
_TIMES = ("LastModified", "last_modified", "updated", "mtime", "modified", "created")
"""What fsspec's file systems call the time of the last change."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of the storage that has, or was to have, a hash for its name."""

    path: str
    size_bytes: int
    changed_at: datetime | None
    """None where the storage does not say."""

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]


class Remote:
    """Files by their sha256 under one address, such as ``s3://bucket/prefix``.

    Credentials are the storage's own affair: its environment variables, configuration files, instance roles.
    """

    def __init__(self, url: str) -> None:
        """Connects at the first use, not before.

        Args:
            url: as fsspec reads it.

        Raises:
            StoreError: nothing that is installed speaks its protocol.
        """
        import fsspec  # It takes a while, and most services keep their files in a folder.

        self.protocol = urlsplit(url).scheme
        self._url = url
        try:
            fsspec.get_filesystem_class(self.protocol)
        except (ImportError, ValueError) as error:
            raise StoreError(
                f"SAFS_ARTIFACTS_URL begins with {self.protocol}://, and nothing here speaks that: {error}. Install "
                "that package on every machine of the service, or choose another address"
            ) from error

    def __str__(self) -> str:
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"

    def upload(self, sha256: str, file: Path) -> None:
        """Stores a copy of ``file``, in place of what was there; raises ``StorageUnavailable``."""
        with self._files() as (files, root):
            final = f"{root}/{sha256[:2]}/{sha256}"
            files.makedirs(f"{root}/{sha256[:2]}", exist_ok=True)
            if self.protocol in _WHOLE_AT_ONCE:
                files.put_file(str(file), final)
                return
            incoming = f"{root}/{INCOMING}{uuid4().hex}"
            files.put_file(str(file), incoming)
            files.mv(incoming, final)

    @contextmanager
    def open(self, sha256: str) -> Iterator[BinaryIO]:
        """The content as a stream, not checked; raises ``ArtifactNotFound`` or ``StorageUnavailable``."""
        with self._files() as (files, root):
            try:
                stream = files.open(f"{root}/{sha256[:2]}/{sha256}", "rb")
            except FileNotFoundError as error:
                raise ArtifactNotFound(f"no content with sha256 {sha256!r} is stored at {self}") from error
            with stream:
                yield cast("BinaryIO", stream)

    def digest(self, sha256: str) -> str:
        """The hash that the content has now; raises as ``open`` does."""
        found = hashlib.sha256()
        with self.open(sha256) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                found.update(chunk)
        return found.hexdigest()

    def size_of(self, sha256: str) -> int | None:
        """How many bytes the content has there, None if it is not there; raises ``StorageUnavailable``."""
        with self._files() as (files, root):
            try:
                return int(files.info(f"{root}/{sha256[:2]}/{sha256}")["size"])
            except FileNotFoundError:
                return None

    def list(self) -> Iterator[list[RemoteFile]]:
        """All files whose names we chose, one subfolder after the other."""
        with self._files() as (files, root):
            if not files.exists(root):
                return
            top = files.ls(root, detail=True)
        yield _ours(top)
        for entry in top:
            if entry["type"] == "directory" and _SUBFOLDER.fullmatch(entry["name"].rstrip("/").rpartition("/")[2]):
                with self._files() as (files, _):
                    found = files.ls(entry["name"], detail=True)
                yield _ours(found)

    def look(self, file: RemoteFile) -> RemoteFile | None:
        """The file as it is now, None if it is gone."""
        with self._files() as (files, _):
            try:
                return next(iter(_ours([files.info(file.path)])), None)
            except FileNotFoundError:
                return None

    def delete(self, file: RemoteFile) -> None:
        """Deletes it, if it is there."""
        with self._files() as (files, _):
            try:
                files.rm_file(file.path)
            except FileNotFoundError:
                return

    @contextmanager
    def _files(self) -> Iterator[tuple[Any, str]]:
        """(fsspec's file system, our root in it); whatever it raises means that the storage is not available."""
        import fsspec

        try:
            # What is listed must be what is there: other machines write as well.
            files, root = fsspec.core.url_to_fs(self._url, use_listings_cache=False)
            yield files, root.rstrip("/")
        except StoreError:
            raise
        except Exception as error:  # each kind of storage has errors of its own
            reason = f"{type(error).__name__}: {error}"
            raise StorageUnavailable(f"the object storage {self} does not work: {reason}") from error


def _ours(entries: list[dict[str, Any]]) -> list[RemoteFile]:
    files = [entry for entry in entries if entry["type"] == "file"]
    found = [RemoteFile(entry["name"], int(entry["size"] or 0), _changed_at(entry)) for entry in files]
    return [file for file in found if _OURS.fullmatch(file.name)]


def _changed_at(entry: dict[str, Any]) -> datetime | None:
    for name in _TIMES:
        match entry.get(name):
            case datetime() as moment:
                return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            case int() | float() as seconds:
                return datetime.fromtimestamp(seconds, UTC)
    return None
