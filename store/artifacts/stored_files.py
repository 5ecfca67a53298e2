"""Files by the hash of their content, and which job has which of them under which name.

Content is put first and attached after, in the transaction of whatever it proves: a crash between the two leaves
a file that nothing names, never a name without its file.
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

from store.artifacts.disk_quota import Quota
from store.artifacts.folder_lock import FolderLock
from store.artifacts.local_cache import Cache
from store.artifacts.object_storage import Remote
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
"""How the name of a file begins that is still being written."""

_HASH = re.compile(r"[0-9a-f]{64}")


class Readable(Protocol):
    """A binary stream."""

    def read(self, size: int, /) -> bytes: ...


class ArtifactStore:
    """A folder of files named by their sha256; a name appears once its content is whole and on the disk.

    Args:
        limit_bytes: what all files together may take; None as much as the disk has.
        remote: object storage that has every file; then the folder is this machine's cache of it, and what was used
            least recently makes room.
    """

    def __init__(self, folder: Path, *, limit_bytes: int | None = None, remote: Remote | None = None) -> None:
        self.folder = folder
        self.remote = remote
        self.lock = FolderLock(folder)
        self._quota = None if limit_bytes is None or remote is not None else Quota(folder, limit_bytes)
        self._cache = None if remote is None else Cache(folder, limit_bytes, remote)

    def put(self, source: Path | Readable) -> StoredArtifact:
        """Stores the content of a file or stream, read in small pieces; the same content twice is one file.

        Raises:
            StorageFull: it does not fit; nothing of it stays.
            StorageUnavailable: the object storage did not take it.
        """
        if isinstance(source, Path):
            with source.open("rb") as stream:
                return self.put(stream)
        with _named_if_full(self.folder):
            stored = self._write(source)
        if self.remote is not None:
            self.remote.upload(stored.sha256, self._location(stored.sha256))
        if self._cache is not None:
            self._cache.grew(stored.size_bytes)
        return stored

    def path(self, sha256: str) -> Path:
        """Where the content lies, to be read only; ``ArtifactNotFound`` if it is not here or no hash of ours.

        What is served or used goes through ``intact_path``. What only the object storage has is fetched, and raises
        ``StorageUnavailable`` if that does not answer.
        """
        if _HASH.fullmatch(sha256) is None:
            raise ArtifactNotFound(f"{sha256!r} is no sha256 of stored content")
        location = self._location(sha256)
        if location.is_file() if self._cache is None else self._cache.use(location):
            return location
        if self.remote is None:
            raise ArtifactNotFound(f"no content with sha256 {sha256!r} is stored")
        return self._fetch(sha256, self.remote)

    def intact_path(self, sha256: str) -> Path:
        """As ``path``, after a look at every byte; raises ``ArtifactDamaged`` if they are not what was put.

        Where there is object storage, a copy that is damaged here is replaced by the one there.
        """
        path = self.path(sha256)
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found == sha256:
            return path
        if self.remote is None:
            raise _damaged(sha256, found)
        return self._fetch(sha256, self.remote)

    def check(self, sha256: str) -> None:
        """Raises as ``intact_path`` if the content is not intact, in the object storage too, if there is one."""
        if self.remote is not None:
            found = self.remote.digest(sha256)
            if found != sha256:
                raise _damaged(sha256, found)
        if self.remote is None or self._location(sha256).is_file():
            self.intact_path(sha256)

    def heal(self, sha256: str) -> bool:
        """Whether this machine had an intact copy of what the object storage has not, and has stored it there."""
        if self.remote is None:
            return False
        location = self._location(sha256)
        try:
            self.intact_path(sha256)
        except ArtifactNotFound:
            return False
        self.remote.upload(sha256, location)
        return True

    def open(self, sha256: str) -> BinaryIO:
        """The content as a stream, which the caller closes; ``ArtifactNotFound`` as for ``path``."""
        return self.path(sha256).open("rb")

    def _fetch(self, sha256: str, remote: Remote) -> Path:
        with remote.open(sha256) as stream, _named_if_full(self.folder):
            stored = self._write(stream, expected=sha256)
        if self._cache is not None:
            self._cache.grew(stored.size_bytes)
        return self._location(sha256)

    def _write(self, source: Readable, expected: str | None = None) -> StoredArtifact:
        _make_folder(self.folder)
        with NamedTemporaryFile(prefix=INCOMING, dir=self.folder, delete=False) as incoming:
            try:
                stored = _copy(source, incoming, self._quota)
                if expected not in (None, stored.sha256):
                    raise _damaged(str(expected), stored.sha256)
                final = self._location(stored.sha256)
                # Whoever deletes looks under the lock at how old a file is: this one is new, also where it replaces.
                with self.lock.writing():
                    final.parent.mkdir(exist_ok=True)
                    reach("checkpoint.before_rename")
                    os.replace(incoming.name, final)
            except BaseException:
                os.unlink(incoming.name)
                raise
        # A rename is durable once its folder is on the disk, and a new folder once the one above is.
        _sync_folder(final.parent)
        _sync_folder(self.folder)
        reach("checkpoint.after_rename")
        return stored

    def _location(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256


def artifact_store(settings: StoreSettings) -> ArtifactStore:
    """The store that ``settings`` name."""
    remote = None if settings.artifacts_url is None else Remote(settings.artifacts_url)
    return ArtifactStore(settings.artifacts_folder, limit_bytes=settings.artifacts_limit_bytes, remote=remote)


def attach(tx: Transaction, lease: Lease, name: str, artifact: StoredArtifact, media_type: str) -> None:
    """Gives the job this content under ``name``, in place of what it had under it; raises ``LeaseLost``."""
    hold(tx, lease)
    register(tx, artifact)
    row = {"job_id": lease.job_id, "name": name, "sha256": artifact.sha256, "media_type": media_type}
    insert_or_update(tx, job_artifacts, row)


def of_job(tx: Transaction, job_id: str) -> dict[str, JobArtifact]:
    """The job's files by name."""
    query = (
        select(job_artifacts.c.name, artifacts.c.sha256, artifacts.c.size_bytes, job_artifacts.c.media_type)
        .join_from(job_artifacts, artifacts)
        .where(job_artifacts.c.job_id == job_id)
        .order_by(job_artifacts.c.name)
    )
    return {row["name"]: JobArtifact(**row) for row in tx.execute(query).mappings()}


def register(tx: Transaction, artifact: StoredArtifact) -> None:
    """Makes the content known to the database, so that jobs and uploads can refer to it.

    It counts as new again: until tomorrow it stays, whether or not anything refers to it.
    """
    row = {"sha256": artifact.sha256, "size_bytes": artifact.size_bytes, "created_at": now()}
    insert_or_update(tx, artifacts, row)


def _copy(source: Readable, target: IO[bytes], quota: Quota | None) -> StoredArtifact:
    digest, size_bytes = hashlib.sha256(), 0
    while chunk := source.read(CHUNK_BYTES):
        if quota is not None:
            quota.take(len(chunk))
        digest.update(chunk)
        target.write(chunk)
        size_bytes += len(chunk)
    target.flush()
    # Nobody writes to it any more: its name says what is in it.
    os.fchmod(target.fileno(), 0o444)
    os.fsync(target.fileno())
    return StoredArtifact(digest.hexdigest(), size_bytes)


def _damaged(sha256: str, found: str) -> ArtifactDamaged:
    return ArtifactDamaged(
        f"the content with sha256 {sha256!r} is damaged: its sha256 is now {found!r}. "
        "`safs scrub` lists all that is damaged, and the way out"
    )


@contextmanager
def _named_if_full(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StorageFull(
            f"the disk of {folder} has no room for this content: {error.strerror}. Free some, or let `safs collect` "
            "make room (SAFS_RETENTION_DAYS, SAFS_OUTPUTS_DAYS)"
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
