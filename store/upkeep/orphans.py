"""Orphans: files in the folder of artifacts, or in the object storage, without a row.

They are left by crashes and by the deletion of rows.
"""

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from store.artifacts.object_storage import ObjectStorage, StoredObject
from store.artifacts.stored_files import INCOMING, ArtifactStore
from store.session import Database
from store.upkeep import expiry

LOCK_TIMEOUT_S = 1.0
"""Seconds to wait for writers; during a backup, which takes longer, nothing is deleted."""

_SUBFOLDER = re.compile(r"[0-9a-f]{2}")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Orphan:
    path: Path
    size_bytes: int


def find_orphans(database: Database, store: ArtifactStore) -> Iterator[list[Orphan]]:
    """Orphans in the folder that are older than a day, one subfolder at a time.

    Files whose names are neither a sha256 nor that of a partial file are left alone.
    """
    if not store.folder.is_dir():
        return
    yield [orphan for path in store.folder.glob(f"{INCOMING}*") if (orphan := _if_old(path)) is not None]
    for subfolder in sorted(store.folder.iterdir()):
        if _SUBFOLDER.fullmatch(subfolder.name) and subfolder.is_dir():
            yield _orphans_of(database, subfolder)


def delete_orphans(store: ArtifactStore, orphans: list[Orphan]) -> list[Orphan]:
    """Delete orphans; returns the deleted ones. A file that was stored again in the meantime is new, and stays."""
    if not orphans:
        return []
    with store.lock.exclusive(LOCK_TIMEOUT_S) as locked:
        if not locked:
            return []
        still_old = [orphan for orphan in orphans if _if_old(orphan.path) is not None]
        for orphan in still_old:
            orphan.path.unlink(missing_ok=True)
    return still_old


def find_remote_orphans(database: Database, object_storage: ObjectStorage) -> Iterator[list[StoredObject]]:
    """Orphans in the object storage that are older than a day, one subfolder at a time."""
    for files in object_storage.list():
        old = [file for file in files if _is_old(file)]
        with database.read() as tx:
            known = expiry.known_artifacts(tx, [file.name for file in old])
        yield [file for file in old if file.name not in known]


def delete_remote_orphans(object_storage: ObjectStorage, orphans: list[StoredObject]) -> list[StoredObject]:
    """Delete orphans; returns the deleted ones.

    No lock spans all machines. A file that is stored again between the last check of its age and its deletion is lost
    in the object storage; the machine that stored it still has it, and its ``safs scrub --repair`` uploads it again.
    """
    deleted = []
    for orphan in orphans:
        current = object_storage.stat(orphan)
        if current is not None and _is_old(current):
            object_storage.delete(current)
            deleted.append(current)
    return deleted


def _is_old(file: StoredObject) -> bool:
    """True if the file is older than a day; False if the storage does not report its age."""
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
