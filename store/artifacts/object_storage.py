"""Object storage behind the folder of artifacts, through fsspec: S3, GCS, Azure, SFTP, a mounted folder, and others."""

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
"""Protocols whose objects become visible once the upload is complete; elsewhere, a partial file is visible."""
_TIMES = ("LastModified", "last_modified", "updated", "mtime", "modified", "created")
"""Names under which fsspec's file systems give the time of the last change."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A file in the object storage: complete, named by its sha256, or a partial upload."""

    path: str
    size_bytes: int
    changed_at: datetime | None
    """Time of the last change; None if the storage does not report it."""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


class ObjectStorage:
    """Files named by their sha256 under one URL, such as ``s3://bucket/prefix``.

    Credentials come from the environment variables, configuration files or instance roles that the fsspec package for
    the protocol reads.
    """

    def __init__(self, url: str) -> None:
        """Check the protocol; the first connection is made at the first use.

        Args:
            url: a URL as fsspec reads it.

        Raises:
            StoreError: no installed package supports the protocol.
        """
        import fsspec  # The import is slow, and most services have no object storage.

        self.protocol = urlsplit(url).scheme
        self._url = url
        try:
            fsspec.get_filesystem_class(self.protocol)
        except (ImportError, ValueError) as error:
            raise StoreError(
                f"SAFS_ARTIFACTS_URL begins with {self.protocol}://, and no installed package supports that protocol: "
                f"{error}. Install the package on every machine of the service, or choose another URL"
            ) from error

    def __str__(self) -> str:
        if self.protocol == "file":
            return self._url
        parts = urlsplit(self._url)  # The user name, the password and the query may be secret.
        return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"

    def upload(self, sha256: str, file: Path) -> None:
        """Store a copy of ``file``, replacing an existing one; raises ``StorageUnavailable``."""
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
        """The content as a stream, without a check of its hash.

        Raises ``ArtifactNotFound`` or ``StorageUnavailable``.
        """
        with self._files() as (files, root):
            try:
                stream = files.open(f"{root}/{sha256[:2]}/{sha256}", "rb")
            except FileNotFoundError as error:
                raise ArtifactNotFound(f"no content with sha256 {sha256!r} is stored in {self}") from error
            with stream:
                yield cast("BinaryIO", stream)

    def digest(self, sha256: str) -> str:
        """The sha256 of the stored bytes; raises as ``open`` does."""
        found = hashlib.sha256()
        with self.open(sha256) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                found.update(chunk)
        return found.hexdigest()

    def size_of(self, sha256: str) -> int | None:
        """The size of the content in bytes, None if it is not stored; raises ``StorageUnavailable``."""
        with self._files() as (files, root):
            try:
                return int(files.info(f"{root}/{sha256[:2]}/{sha256}")["size"])
            except FileNotFoundError:
                return None

    def list(self) -> Iterator[list[StoredObject]]:
        """All artifacts and partial uploads, one subfolder at a time; other files are left out."""
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

    def stat(self, file: StoredObject) -> StoredObject | None:
        """The current size and time of the file, None if it no longer exists."""
        with self._files() as (files, _):
            try:
                return next(iter(_ours([files.info(file.path)])), None)
            except FileNotFoundError:
                return None

    def delete(self, file: StoredObject) -> None:
        """Delete the file if it exists."""
        with self._files() as (files, _):
            try:
                files.rm_file(file.path)
            except FileNotFoundError:
                return

    @contextmanager
    def _files(self) -> Iterator[tuple[Any, str]]:
        """(fsspec's file system, the root path in it); any error in the block becomes ``StorageUnavailable``."""
        import fsspec

        try:
            # No cache of listings: other machines write to the same storage.
            files, root = fsspec.core.url_to_fs(self._url, use_listings_cache=False)
            yield files, root.rstrip("/")
        except StoreError:
            raise
        except Exception as error:  # each file system of fsspec has its own errors
            reason = f"{type(error).__name__}: {error}"
            raise StorageUnavailable(f"the object storage {self} does not work: {reason}") from error


def _ours(entries: list[dict[str, Any]]) -> list[StoredObject]:
    files = [entry for entry in entries if entry["type"] == "file"]
    found = [StoredObject(entry["name"], int(entry["size"] or 0), _changed_at(entry)) for entry in files]
    return [file for file in found if _OURS.fullmatch(file.name)]


def _changed_at(entry: dict[str, Any]) -> datetime | None:
    for name in _TIMES:
        match entry.get(name):
            case datetime() as moment:
                return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            case int() | float() as seconds:
                return datetime.fromtimestamp(seconds, UTC)
    return None
