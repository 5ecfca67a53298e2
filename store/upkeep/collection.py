"""Collection: deletes what nothing needs any more, in small steps, while the service runs."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, FromClause, func, select

from store.artifacts.stored_files import ArtifactStore
from store.session import Database, Transaction
from store.settings import StoreSettings
from store.tables import artifacts, idempotency_keys, jobs, stage_outputs, uploads
from store.upkeep import expiry
from store.upkeep.orphans import delete_orphans, delete_remote_orphans, find_orphans, find_remote_orphans

EVERY_S = 3600.0
"""How often somebody should."""


class Kind(StrEnum):
    """What may go."""

    JOB = "jobs"
    UPLOAD = "uploads"
    OUTPUT = "stage outputs"
    ANSWER = "idempotency keys"
    ARTIFACT = "artifacts that nothing names"
    FILE = "files without a row"
    OBJECT = "objects without a row"


@dataclass(frozen=True, slots=True)
class Removed:
    """What one step deleted; 0 where it only made way, as by deleting the events of a job."""

    kind: Kind
    count: int
    size_bytes: int = 0
    """On this machine's disk, or in the object storage."""


def chore(store: ArtifactStore) -> str:
    """The name under which collecting is claimed: with object storage each machine has a folder of its own to sweep."""
    return "collect" if store.remote is None else f"collect on {socket.gethostname()}"


def collect(database: Database, store: ArtifactStore, settings: StoreSettings) -> Iterator[Removed]:
    """Deletes step by step; each step is one short transaction, and whoever stops in between leaves nothing broken."""
    if settings.retention_days is not None:
        days = settings.retention_days
        yield from _jobs(database, days)
        yield from _rows(database, Kind.UPLOAD, lambda tx: expiry.delete_uploads(tx, days))
    yield from _rows(database, Kind.OUTPUT, lambda tx: expiry.delete_outputs(tx, settings.outputs_days))
    yield from _rows(database, Kind.ANSWER, expiry.delete_answers)
    yield from _artifacts(database)
    for orphans in find_orphans(database, store):
        gone = delete_orphans(store, orphans)
        yield Removed(Kind.FILE, len(gone), sum(orphan.size_bytes for orphan in gone))
    if store.remote is not None:
        for objects in find_remote_orphans(database, store.remote):
            deleted = delete_remote_orphans(store.remote, objects)
            yield Removed(Kind.OBJECT, len(deleted), sum(orphan.size_bytes for orphan in deleted))


def survey(database: Database, store: ArtifactStore, settings: StoreSettings) -> Iterator[Removed]:
    """What ``collect`` would delete now. What those deletions would leave without a name is not in it yet."""
    with database.read() as tx:
        if settings.retention_days is not None:
            yield _count(tx, Kind.JOB, jobs, expiry.old_jobs(tx, settings.retention_days))
            yield _count(tx, Kind.UPLOAD, uploads, expiry.old_uploads(settings.retention_days))
        yield _count(tx, Kind.OUTPUT, stage_outputs, expiry.old_outputs(tx, settings.outputs_days))
        yield _count(tx, Kind.ANSWER, idempotency_keys, expiry.old_answers())
        yield _count(tx, Kind.ARTIFACT, artifacts, expiry.unnamed_artifacts())
    for orphans in find_orphans(database, store):
        yield Removed(Kind.FILE, len(orphans), sum(orphan.size_bytes for orphan in orphans))
    if store.remote is not None:
        for objects in find_remote_orphans(database, store.remote):
            yield Removed(Kind.OBJECT, len(objects), sum(orphan.size_bytes for orphan in objects))


def _jobs(database: Database, days: float) -> Iterator[Removed]:
    while True:
        with database.begin() as tx:
            whole, rows = expiry.delete_part_of_a_job(tx, days)
        if not whole and not rows:
            return
        yield Removed(Kind.JOB, whole)


def _rows(database: Database, kind: Kind, delete: Callable[[Transaction], int]) -> Iterator[Removed]:
    while True:
        with database.begin() as tx:
            count = delete(tx)
        if not count:
            return
        yield Removed(kind, count)


def _artifacts(database: Database) -> Iterator[Removed]:
    while True:
        with database.read() as tx:
            hashes = expiry.find_unnamed(tx)
        if not hashes:
            return
        with database.begin() as tx:
            count = expiry.delete_unnamed(tx, hashes)
        if not count:  # Somebody else deletes them.
            return
        yield Removed(Kind.ARTIFACT, count)


def _count(tx: Transaction, kind: Kind, table: FromClause, which: ColumnElement[bool]) -> Removed:
    return Removed(kind, tx.execute(select(func.count()).select_from(table).where(which)).scalar_one())
