"""Garbage collection: deletes expired and unreferenced data, in small steps, while the service runs."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, FromClause, func, select

from store.artifacts.stored_files import ArtifactStore
from store.session import Database, Transaction
from store.settings import StoreSettings
from store.tables import artifacts, idempotency_keys, incoming_uploads, jobs, stage_outputs, uploads
from store.upkeep import expiry
from store.upkeep.orphans import delete_orphans, delete_remote_orphans, find_orphans, find_remote_orphans

EVERY_S = 3600.0
"""Seconds between two collections."""


class Kind(StrEnum):
    """Kinds of data that are collected; the values are the words of the report."""

    JOB = "jobs"
    UPLOAD = "uploads"
    OUTPUT = "stage outputs"
    ANSWER = "idempotency keys"
    INCOMING = "unfinished uploads"
    ARTIFACT = "unreferenced artifacts"
    FILE = "files without a row"
    OBJECT = "objects without a row"


@dataclass(frozen=True, slots=True)
class Removed:
    """Result of one step."""

    kind: Kind
    count: int
    """Number of things deleted; 0 for an intermediate step, such as the deletion of a job's events."""
    size_bytes: int = 0
    """Bytes freed on this machine's disk, or in the object storage."""


def chore(store: ArtifactStore) -> str:
    """Name of the chore: one for the service, or one per machine if each has its own folder beside object storage."""
    return "collect" if store.object_storage is None else f"collect on {socket.gethostname()}"


def collect(database: Database, store: ArtifactStore, settings: StoreSettings) -> Iterator[Removed]:
    """Collect step by step; each step is one short transaction, and it is safe to stop between two steps."""
    if settings.retention_days is not None:
        days = settings.retention_days
        yield from _jobs(database, days)
        yield from _rows(database, Kind.UPLOAD, lambda tx: expiry.delete_uploads(tx, days))
    yield from _rows(database, Kind.OUTPUT, lambda tx: expiry.delete_outputs(tx, settings.outputs_days))
    yield from _rows(database, Kind.ANSWER, expiry.delete_answers)
    yield from _rows(database, Kind.INCOMING, expiry.delete_incoming)
    yield from _artifacts(database)
    for orphans in find_orphans(database, store):
        removed = delete_orphans(store, orphans)
        yield Removed(Kind.FILE, len(removed), sum(orphan.size_bytes for orphan in removed))
    if store.object_storage is not None:
        for objects in find_remote_orphans(database, store.object_storage):
            removed_objects = delete_remote_orphans(store.object_storage, objects)
            yield Removed(Kind.OBJECT, len(removed_objects), sum(orphan.size_bytes for orphan in removed_objects))


def preview(database: Database, store: ArtifactStore, settings: StoreSettings) -> Iterator[Removed]:
    """Preview of what ``collect`` would delete now, without items that only these deletions would unreference."""
    with database.read() as tx:
        if settings.retention_days is not None:
            yield _count(tx, Kind.JOB, jobs, expiry.old_jobs(tx, settings.retention_days))
            yield _count(tx, Kind.UPLOAD, uploads, expiry.old_uploads(settings.retention_days))
        yield _count(tx, Kind.OUTPUT, stage_outputs, expiry.old_outputs(tx, settings.outputs_days))
        yield _count(tx, Kind.ANSWER, idempotency_keys, expiry.old_answers())
        yield _count(tx, Kind.INCOMING, incoming_uploads, expiry.old_incoming())
        yield _count(tx, Kind.ARTIFACT, artifacts, expiry.unreferenced_artifacts())
    for orphans in find_orphans(database, store):
        yield Removed(Kind.FILE, len(orphans), sum(orphan.size_bytes for orphan in orphans))
    if store.object_storage is not None:
        for objects in find_remote_orphans(database, store.object_storage):
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
            hashes = expiry.find_unreferenced(tx)
        if not hashes:
            return
        with database.begin() as tx:
            count = expiry.delete_unreferenced(tx, hashes)
        if not count:  # Another process deletes them.
            return
        yield Removed(Kind.ARTIFACT, count)


def _count(tx: Transaction, kind: Kind, table: FromClause, which: ColumnElement[bool]) -> Removed:
    return Removed(kind, tx.execute(select(func.count()).select_from(table).where(which)).scalar_one())
