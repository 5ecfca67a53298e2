"""Restores a backup of ``store.upkeep.backup``: check every byte, then store the files, then insert all rows at once.

A restore that is interrupted leaves no rows, only files without a row, which are collected.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import JSON, column, delete, exists, insert, literal, select
from sqlalchemy import table as light_table
from sqlalchemy.types import TypeEngine

from store import queue
from store.artifacts.stored_files import ArtifactStore
from store.clock import UtcDateTime, now
from store.errors import BadBackup
from store.records import ACTIVE_STATES, Lease
from store.session import Database, Transaction
from store.tables import chores, counters, jobs, metadata, runners
from store.upkeep.archive import Reader
from store.upkeep.backup import FORMAT, MANIFEST, MANIFEST_HASH, Manifest, TableDump, artifact_file, table_file

_ROWS_AT_ONCE = 500
_TYPES: dict[str, TypeEngine[Any] | None] = {"time": UtcDateTime(), "json": JSON(none_as_null=True), "plain": None}


def read_manifest(archive: Reader) -> Manifest:
    """The backup's manifest; raises ``BadBackup`` if it is damaged, or of another format."""
    with archive.open(MANIFEST) as stream:
        text = stream.read()
    with archive.open(MANIFEST_HASH) as stream:
        if hashlib.sha256(text).hexdigest().encode() != stream.read().strip():
            raise BadBackup(f"the backup's {MANIFEST} is damaged; take another backup")
    found = json.loads(text)
    if found["format"] != FORMAT:
        raise BadBackup(
            f"the backup has format {found['format']}, and this version reads format {FORMAT}; restore it with the "
            "version that made it"
        )
    tables = tuple(TableDump(**table) for table in found["tables"])
    return Manifest(**found | {"tables": tables, "absent": tuple(found["absent"])})


def verify(archive: Reader, manifest: Manifest, progress: Callable[[int, int], None]) -> None:
    """Check the hash of every file in the backup; raises ``BadBackup`` with the name of the first mismatch.

    Args:
        progress: called with (bytes of artifacts checked, total bytes).
    """
    for dump in manifest.tables:
        _check(archive, table_file(dump.name), dump.sha256)
    done_bytes = 0
    for sha256, size_bytes in _artifacts(archive, manifest):
        _check(archive, artifact_file(sha256), sha256)
        done_bytes += size_bytes
        progress(done_bytes, manifest.size_bytes)


def store_artifacts(
    archive: Reader, manifest: Manifest, store: ArtifactStore, progress: Callable[[int, int], None]
) -> None:
    """Put every artifact of the backup into ``store``; idempotent."""
    done_bytes = 0
    for sha256, size_bytes in _artifacts(archive, manifest):
        with archive.open(artifact_file(sha256)) as stream:
            if store.put(stream).sha256 != sha256:
                raise BadBackup(f"the backup's {artifact_file(sha256)} changed while it was read; try again")
        done_bytes += size_bytes
        progress(done_bytes, manifest.size_bytes)


def is_empty(tx: Transaction) -> bool:
    """True if no table has rows, other than the counters, chores and runners of the service itself."""
    checked = [table for table in metadata.sorted_tables if table not in (chores, counters, runners)]
    return not any(tx.execute(select(exists(select(literal(1)).select_from(table)))).scalar_one() for table in checked)


def clear(tx: Transaction) -> None:
    """Delete all rows of all tables."""
    for table in reversed(metadata.sorted_tables):
        tx.execute(delete(table))


def load(tx: Transaction, archive: Reader, manifest: Manifest) -> None:
    """Insert every row of the backup into the empty tables of its revision."""
    for dump in manifest.tables:
        columns = [column(name, _TYPES[kind]) for name, kind in dump.columns.items()]
        table = light_table(dump.name, *columns)
        rows = _rows(archive, dump)
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            tx.execute(insert(table), some)


def requeue_active(database: Database) -> int:
    """Queue the jobs that were running when the backup was made; returns their number.

    Jobs that were being cancelled are cancelled.
    """
    active = select(jobs.c.id, jobs.c.lease_token, jobs.c.lease_expires_at).where(jobs.c.state.in_(ACTIVE_STATES))
    with database.begin() as tx:
        leases = [Lease(job_id, token, expires_at) for job_id, token, expires_at in tx.execute(active)]
        for lease in leases:
            queue.release(tx, lease)
    return len(leases)


def active_workers(tx: Transaction) -> list[str]:
    """Names of the runners that hold a job by a lease that has not expired."""
    held = jobs.c.state.in_(ACTIVE_STATES) & (jobs.c.lease_expires_at > now())
    return sorted(tx.execute(select(jobs.c.worker).where(held)).scalars())


def _artifacts(archive: Reader, manifest: Manifest) -> Iterator[tuple[str, int]]:
    """(hash, size in bytes) of every artifact in the backup."""
    absent = frozenset(manifest.absent)
    (dump,) = [dump for dump in manifest.tables if dump.name == "artifacts"]
    for row in _rows(archive, dump):
        if row["sha256"] not in absent:
            yield row["sha256"], row["size_bytes"]


def _rows(archive: Reader, dump: TableDump) -> Iterator[dict[str, Any]]:
    with archive.open(table_file(dump.name)) as stream:
        for line in stream:
            values = zip(dump.columns.items(), json.loads(line), strict=True)
            yield {name: _value(kind, value) for (name, kind), value in values}


def _value(kind: str, value: Any) -> Any:
    return datetime.fromisoformat(value) if kind == "time" and value is not None else value


def _check(archive: Reader, name: str, sha256: str) -> None:
    with archive.open(name) as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        raise BadBackup(f"the backup's {name} is damaged: its sha256 is {found}, not {sha256}. Take another backup")
