"""Files of the artifacts' folder, and of the object storage, that no row names: what crashes and deleted rows leave."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from store.artifacts.object_storage import Remote, RemoteFile
from store.artifacts.stored_files import INCOMING, ArtifactStore
from store.session import Database
from store.upkeep import expiry

PATIENCE_S = 1.0
"""How long writers are waited for; a backup holds the folder for longer, and then the files go another time."""

_SUBFOLDER = re.compile(r"[0-9a-f]{2}")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Orphan:
    path: Path
    size_bytes: int


def find_orphans(database: Database, store: ArtifactStore) -> Iterator[list[Orphan]]:
    """Files of the folder, one subfolder after the other, that no row names and that are older than a day.

    Files whose names we did not choose are not ours, and not among them.
    """
    if not store.folder.is_dir():
        return
    yield [orphan for path in store.folder.glob(f"{INCOMING}*") if (orphan := _if_old(path)) is not None]
    for subfolder in sorted(store.folder.iterdir()):
        if _SUBFOLDER.fullmatch(subfolder.name) and subfolder.is_dir():
            yield _orphans_of(database, subfolder)


def delete_orphans(store: ArtifactStore, orphans: list[Orphan]) -> list[Orphan]:
    """Those that went. One that was put again meanwhile is new, and stays."""
    if not orphans:
        return []
    with store.lock.deleting(PATIENCE_S) as alone:
        if not alone:
            return []
        gone = [orphan for orphan in orphans if _if_old(orphan.path) is not None]
        for orphan in gone:
            orphan.path.unlink(missing_ok=True)
    return gone


def find_remote_orphans(database: Database, remote: Remote) -> Iterator[list[RemoteFile]]:
    """As ``find_orphans``, in the object storage."""
    for files in remote.list():
        old = [file for file in files if _is_old(file)]
        with database.read() as tx:
            known = expiry.known_artifacts(tx, [file.name for file in old])
        yield [file for file in old if file.name not in known]


def delete_remote_orphans(remote: Remote, orphans: list[RemoteFile]) -> list[RemoteFile]:
    """Those that went.

    No lock reaches all machines: a file that is put again in the moment between the last look at its age and its
    deletion is lost there, and stays with the machine that put it, whose ``safs scrub --repair`` stores it again.
    """
    gone = []
    for orphan in orphans:
        now = remote.look(orphan)
        if now is not None and _is_old(now):
            remote.delete(now)
            gone.append(now)
    return gone


def _is_old(file: RemoteFile) -> bool:
    """False also where the storage does not say when a file was changed."""
    return file.changed_at is not None and file.changed_at.timestamp() < time.time() - expiry.DAY_S


def _orphans_of(database: Database, subfolder: Path) -> list[Orphan]:
    paths = [path for path in sorted(subfolder.iterdir()) if _HASH.fullmatch(path.name)]
    old = [orphan for path in paths if (orphan := _if_old(path)) is not None]
    with database.read() as tx:
        known = expiry.known_artifacts(tx, [orphan.path.name for orphan in old])
    return [orphan for orphan in old if orphan.path.name not in known]


def _if_old(path: Path) -> Orphan | None:
    with suppress(FileNotFoundError):
        found = os.stat(path)
        if found.st_mtime < time.time() - expiry.DAY_S:
            return Orphan(path, found.st_size)
    return None
