"""Content-addressed files, and the names under which jobs refer to them.

A file is stored first and attached to its job afterwards, in the transaction that depends on it. A crash between the
two leaves a file without a reference, never a reference without its file.
"""

import errno
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, BinaryIO, Protocol

from sqlalchemy import select

from store import jobs
from store.artifacts.disk_quota import DiskQuota
from store.artifacts.folder_lock import FolderLock
from store.artifacts.local_cache import LocalCache
from store.artifacts.object_storage import ObjectStorage
from store.clock import now
from store.crash_points import reach
from store.errors import ArtifactDamaged, ArtifactNotFound, StorageFull
from store.leases import hold
from store.records import JobArtifact, Lease, StoredArtifact
from store.session import Transaction
from store.settings import StoreSettings
from store.tables import artifacts, job_artifacts
from store.upsert import insert_or_update

CHUNK_BYTES = 1 << 20
INCOMING = "incoming-"
"""Prefix of the names of files that are still being written."""

_HASH = re.compile(r"[0-9a-f]{64}")


class Readable(Protocol):
    """A binary stream."""

    def read(self, size: int, /) -> bytes: ...


class ArtifactStore:
    """A folder of files named by their sha256; a file appears under its name once it is complete and synced.

    Args:
        limit_bytes: limit on the size of all files; None for no limit but the disk's.
        object_storage: storage that holds every file. The folder is then this machine's cache of it, and the least
            recently used files are evicted at the limit. None keeps all files in the folder.
    """

    def __init__(
        self, folder: Path, *, limit_bytes: int | None = None, object_storage: ObjectStorage | None = None
    ) -> None:
        self.folder = folder
        self.object_storage = object_storage
        self.lock = FolderLock(folder)
        self._quota: DiskQuota | None = None
        self._cache: LocalCache | None = None
        if object_storage is not None:
            self._cache = LocalCache(folder, limit_bytes, object_storage)
        elif limit_bytes is not None:
            self._quota = DiskQuota(folder, limit_bytes)

    def put(self, source: Path | Readable) -> StoredArtifact:
        """Store the content of a file or stream, read in chunks; equal content is stored once.

        Raises:
            StorageFull: the content does not fit; nothing of it stays.
            StorageUnavailable: the upload to the object storage failed.
        """
        if isinstance(source, Path):
            with source.open("rb") as stream:
                return self.put(stream)
        with _storage_full_raised(self.folder):
            stored = self._write(source)
        if self.object_storage is not None:
            self.object_storage.upload(stored.sha256, self._location(stored.sha256))
        if self._cache is not None:
            self._cache.added(stored.size_bytes)
        return stored

    def path(self, sha256: str) -> Path:
        """The path of the content, to be read only; its bytes are not checked, see ``intact_path``.

        A file that only the object storage has is fetched first.

        Raises:
            ArtifactNotFound: ``sha256`` is not stored, or is no sha256.
            StorageUnavailable: the object storage does not answer.
        """
        if _HASH.fullmatch(sha256) is None:
            raise ArtifactNotFound(f"{sha256!r} is not the sha256 of stored content")
        location = self._location(sha256)
        if location.is_file() if self._cache is None else self._cache.touch(location):
            return location
        if self.object_storage is None:
            raise ArtifactNotFound(f"no content with sha256 {sha256!r} is stored")
        return self._fetch(sha256, self.object_storage)

    def intact_path(self, sha256: str) -> Path:
        """As ``path``, after checking the hash of every byte; raises ``ArtifactDamaged`` on a mismatch.

        With object storage, a damaged copy in the folder is replaced by the stored one.
        """
        path = self.path(sha256)
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found == sha256:
            return path
        if self.object_storage is None:
            raise _damaged(sha256, found)
        return self._fetch(sha256, self.object_storage)

    def verify(self, sha256: str) -> None:
        """Check the content in the folder, and in the object storage if there is one; raises as ``intact_path``."""
        if self.object_storage is not None:
            found = self.object_storage.digest(sha256)
            if found != sha256:
                raise _damaged(sha256, found)
        if self.object_storage is None or self._location(sha256).is_file():
            self.intact_path(sha256)

    def repair(self, sha256: str) -> bool:
        """Upload this machine's copy to the object storage; False if there is no intact copy or no object storage."""
        if self.object_storage is None:
            return False
        location = self._location(sha256)
        try:
            self.intact_path(sha256)
        except ArtifactNotFound:
            return False
        self.object_storage.upload(sha256, location)
        return True

    def open(self, sha256: str) -> BinaryIO:
        """The content as a stream, which the caller closes; raises as ``path`` does."""
        return self.path(sha256).open("rb")

    def _fetch(self, sha256: str, object_storage: ObjectStorage) -> Path:
        with object_storage.open(sha256) as stream, _storage_full_raised(self.folder):
            stored = self._write(stream, expected=sha256)
        if self._cache is not None:
            self._cache.added(stored.size_bytes)
        return self._location(sha256)

    def _write(self, source: Readable, expected: str | None = None) -> StoredArtifact:
        _make_folder(self.folder)
        with NamedTemporaryFile(prefix=INCOMING, dir=self.folder, delete=False) as incoming:
            try:
                stored = _copy(source, incoming, self._quota)
                if expected not in (None, stored.sha256):
                    raise _damaged(str(expected), stored.sha256)
                final = self._location(stored.sha256)
                # Deletion checks the age of a file under the exclusive lock. After this rename the file is new, also
                # where it replaces an old one.
                with self.lock.shared():
                    final.parent.mkdir(exist_ok=True)
                    reach("checkpoint.before_rename")
                    os.replace(incoming.name, final)
            except BaseException:
                os.unlink(incoming.name)
                raise
        # A rename is durable once its folder is synced, and a new folder once its parent is synced.
        _sync_folder(final.parent)
        _sync_folder(self.folder)
        reach("checkpoint.after_rename")
        return stored

    def _location(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256


def artifact_store(settings: StoreSettings) -> ArtifactStore:
    """The artifact store that ``settings`` describe."""
    return ArtifactStore(
        settings.artifacts_folder,
        limit_bytes=settings.artifacts_limit_bytes,
        object_storage=None if settings.artifacts_url is None else ObjectStorage(settings.artifacts_url),
    )


def attach(tx: Transaction, lease: Lease, name: str, artifact: StoredArtifact, media_type: str) -> None:
    """Attach the content to the job under ``name``, replacing what has this name; raises ``LeaseLost``."""
    hold(tx, lease)
    register(tx, artifact)
    row = {"job_id": lease.job_id, "name": name, "sha256": artifact.sha256, "media_type": media_type}
    insert_or_update(tx, job_artifacts, row)


def attach_later(tx: Transaction, job_id: str, name: str, artifact: StoredArtifact, media_type: str) -> None:
    """Attach the content to a job that has ended, under ``name``; raises ``JobNotFound`` if it was deleted."""
    jobs.get(tx, job_id)
    register(tx, artifact)
    row = {"job_id": job_id, "name": name, "sha256": artifact.sha256, "media_type": media_type}
    insert_or_update(tx, job_artifacts, row)


def of_job(tx: Transaction, job_id: str) -> dict[str, JobArtifact]:
    """The files of the job's result, by name."""
    query = (
        select(job_artifacts.c.name, artifacts.c.sha256, artifacts.c.size_bytes, job_artifacts.c.media_type)
        .join_from(job_artifacts, artifacts)
        .where(job_artifacts.c.job_id == job_id)
        .order_by(job_artifacts.c.name)
    )
    return {row["name"]: JobArtifact(**row) for row in tx.execute(query).mappings()}


def register(tx: Transaction, artifact: StoredArtifact) -> None:
    """Write the row of stored content, so that jobs and uploads can refer to it.

    The row's age starts again: for a day the content is kept even if nothing refers to it.
    """
    row = {"sha256": artifact.sha256, "size_bytes": artifact.size_bytes, "created_at": now()}
    insert_or_update(tx, artifacts, row)


def _copy(source: Readable, target: IO[bytes], quota: DiskQuota | None) -> StoredArtifact:
    digest, size_bytes = hashlib.sha256(), 0
    while chunk := source.read(CHUNK_BYTES):
        if quota is not None:
            quota.take(len(chunk))
        digest.update(chunk)
        target.write(chunk)
        size_bytes += len(chunk)
    target.flush()
    # Read-only from now on, since the name is the hash of the content.
    os.fchmod(target.fileno(), 0o444)
    os.fsync(target.fileno())
    return StoredArtifact(digest.hexdigest(), size_bytes)


def _damaged(sha256: str, found: str) -> ArtifactDamaged:
    return ArtifactDamaged(
        f"the content with sha256 {sha256!r} is damaged: its sha256 is now {found!r}. "
        "`safs scrub` lists all damaged files and what to do about each"
    )


@contextmanager
def _storage_full_raised(folder: Path) -> Iterator[None]:
    """Turns the errors of a full disk or quota into ``StorageFull``."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StorageFull(
            f"the disk of {folder} has no space for this content: {error.strerror}. Free some space, or run "
            "`safs collect` (SAFS_RETENTION_DAYS, SAFS_OUTPUTS_DAYS)"
        ) from error


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
