"""Writes a backup: every table as JSON lines from one snapshot, every artifact, and a manifest with their hashes.

The format does not depend on the database, so a backup of SQLite can be restored into PostgreSQL and the other way
round. ``store.upkeep.restore`` reads it.

    manifest.json          list of the tables with their hashes
    manifest.sha256        hash of manifest.json
    tables/NAME.jsonl      one row per line, as a list of the columns' values
    artifacts/ab/abcd...   files named by their sha256
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import JSON, Column, Table, func, select

from store.artifacts.stored_files import ArtifactStore
from store.clock import UtcDateTime
from store.errors import ArtifactNotFound
from store.session import Database, Transaction, read
from store.tables import artifacts, chores, metadata, runners
from store.upkeep.archive import Writer

FORMAT = 1
MANIFEST, MANIFEST_HASH = "manifest.json", "manifest.sha256"

_ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class TableDump:
    """A table in the backup."""

    name: str
    columns: dict[str, str]
    """Mapping of column names to ``time``, ``json`` or ``plain``, in the order of a row's values."""
    rows: int
    sha256: str
    """Hash of the table's file."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Table of contents of a backup."""

    format: int
    """Version of the backup format, ``FORMAT``."""
    revision: str
    """Revision of the database schema that the rows fit."""
    made_at: str
    """UTC time of the backup, ISO 8601."""
    tables: tuple[TableDump, ...]
    """Tables in an order that satisfies the foreign keys."""
    artifacts: int
    """Number of artifacts that have a row."""
    size_bytes: int
    """Total size of the artifacts that have a row."""
    absent: tuple[str, ...]
    """Hashes of artifacts that were damaged or missing when the backup was made; the backup does not contain them."""


def table_file(name: str) -> str:
    """Name of the file with the rows of a table."""
    return f"tables/{name}.jsonl"


def artifact_file(sha256: str) -> str:
    """Name of the file of an artifact."""
    return f"artifacts/{sha256[:2]}/{sha256}"


def back_up(
    database: Database, store: ArtifactStore, archive: Writer, *, revision: str, progress: Callable[[int, int], None]
) -> Manifest:
    """Write all rows and artifacts of one moment to ``archive``; the service can run at the same time.

    Args:
        revision: revision of the database schema.
        progress: called with (bytes of artifacts written, total bytes).
    """
    # The lock keeps the files of the snapshot: rows may be deleted meanwhile, and their files would follow.
    store.folder.mkdir(parents=True, exist_ok=True)
    with store.lock.shared(), TemporaryDirectory(prefix="safs-backup-") as scratch:
        made_at = datetime.now(UTC)
        with read(_snapshots(database)) as tx:
            saved = (table for table in metadata.sorted_tables if table not in (chores, runners))
            tables = tuple(_dump(tx, table, archive, Path(scratch)) for table in saved)
            count, size_bytes = tx.execute(_SIZE).one()
            hashes = _hashes(tx, Path(scratch))
        absent = _copy_artifacts(store, archive, hashes, int(size_bytes), progress)
        manifest = Manifest(FORMAT, revision, made_at.isoformat(), tables, count, int(size_bytes), tuple(absent))
        _add_manifest(manifest, archive, Path(scratch))
    return manifest


_SIZE = select(func.count(), func.coalesce(func.sum(artifacts.c.size_bytes), 0))


def _snapshots(database: Database) -> Any:
    """An engine whose transactions read one snapshot; on SQLite, all transactions do."""
    if database.engine.dialect.name == "postgresql":
        return database.engine.execution_options(isolation_level="REPEATABLE READ")
    return database.engine


def _dump(tx: Transaction, table: Table, archive: Writer, scratch: Path) -> TableDump:
    columns = {column.name: _kind(column) for column in table.columns}
    file = scratch / f"{table.name}.jsonl"
    digest, rows = hashlib.sha256(), 0
    query = select(table).order_by(*table.primary_key)
    with file.open("wb") as stream:
        for row in tx.execute(query, execution_options={"yield_per": _ROWS_AT_ONCE}):
            line = json.dumps([_plain(value) for value in row], allow_nan=False).encode() + b"\n"
            digest.update(line)
            stream.write(line)
            rows += 1
    archive.add(table_file(table.name), file)
    file.unlink()
    return TableDump(table.name, columns, rows, digest.hexdigest())


def _kind(column: "Column[Any]") -> str:
    if isinstance(column.type, UtcDateTime):
        return "time"
    return "json" if isinstance(column.type, JSON) else "plain"


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _hashes(tx: Transaction, scratch: Path) -> Path:
    """A file with the hash and size of each artifact; a list in memory could grow without bound."""
    file = scratch / "hashes"
    query = select(artifacts.c.sha256, artifacts.c.size_bytes).order_by(artifacts.c.sha256)
    with file.open("w") as stream:
        for sha256, size_bytes in tx.execute(query, execution_options={"yield_per": _ROWS_AT_ONCE}):
            stream.write(f"{sha256} {size_bytes}\n")
    return file


def _copy_artifacts(
    store: ArtifactStore, archive: Writer, hashes: Path, total_bytes: int, progress: Callable[[int, int], None]
) -> Sequence[str]:
    """Copies the artifacts; returns the hashes of those that are damaged or missing."""
    absent, done_bytes = [], 0
    with hashes.open() as lines:
        for line in lines:
            sha256, size_bytes = line.split()
            try:
                archive.add(artifact_file(sha256), store.intact_path(sha256))
            except ArtifactNotFound:
                absent.append(sha256)
            done_bytes += int(size_bytes)
            progress(done_bytes, total_bytes)
    return absent


def _add_manifest(manifest: Manifest, archive: Writer, scratch: Path) -> None:
    text = json.dumps(asdict(manifest), indent=1).encode()
    for name, content in ((MANIFEST, text), (MANIFEST_HASH, hashlib.sha256(text).hexdigest().encode())):
        (scratch / name).write_bytes(content)
        archive.add(name, scratch / name)
