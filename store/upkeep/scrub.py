"""Checks the hash of every artifact that has a row, and finds what refers to those that are damaged or missing."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import delete, func, select

from store.artifacts.stored_files import ArtifactStore
from store.errors import ArtifactDamaged, ArtifactNotFound
from store.session import Database, Transaction
from store.tables import artifacts, job_artifacts, stage_outputs, uploads

_ROWS_AT_ONCE = 200


class Condition(StrEnum):
    INTACT = "intact"
    DAMAGED = "damaged"
    MISSING = "missing"


class ReferenceKind(StrEnum):
    """Kinds of rows that refer to content."""

    RESULT = "result"
    UPLOAD = "upload"
    OUTPUT = "stage output"


@dataclass(frozen=True, slots=True)
class Reference:
    """A row that refers to the content."""

    kind: ReferenceKind
    id: str
    """Id of the job or of the upload."""
    name: str
    """Name of the file or of the stage."""


@dataclass(frozen=True, slots=True)
class Checked:
    """Result of checking one artifact."""

    sha256: str
    size_bytes: int
    condition: Condition
    references: tuple[Reference, ...] = ()
    """Rows that refer to the content; empty for intact content, where they are not looked up."""

    @property
    def is_cache(self) -> bool:
        """True if only stage outputs refer to it, which are computed again when missing."""
        return all(reference.kind is ReferenceKind.OUTPUT for reference in self.references)


def size_of_all(tx: Transaction) -> tuple[int, int]:
    """(number, total bytes) of all artifacts."""
    count, size_bytes = tx.execute(select(func.count(), func.coalesce(func.sum(artifacts.c.size_bytes), 0))).one()
    return count, int(size_bytes)


def scrub(database: Database, store: ArtifactStore) -> Iterator[Checked]:
    """Check every artifact, in the order of the hashes.

    Damaged or missing artifacts without a reference are left out, since they are going to be collected.
    """
    last = ""
    while rows := _page(database, last):
        for sha256, size_bytes in rows:
            condition = _condition(store, sha256)
            if condition is Condition.INTACT:
                yield Checked(sha256, size_bytes, condition)
            elif references := _references(database, sha256):
                yield Checked(sha256, size_bytes, condition, references)
        last = rows[-1][0]


def drop_outputs(tx: Transaction, sha256: str) -> int:
    """Delete the stage outputs with this content, so that jobs compute them again; returns their number."""
    return tx.execute(delete(stage_outputs).where(stage_outputs.c.sha256 == sha256)).rowcount


def _page(database: Database, last: str) -> list[tuple[str, int]]:
    query = select(artifacts.c.sha256, artifacts.c.size_bytes).where(artifacts.c.sha256 > last)
    with database.read() as tx:
        rows = tx.execute(query.order_by(artifacts.c.sha256).limit(_ROWS_AT_ONCE))
        return [(row.sha256, row.size_bytes) for row in rows]


def _condition(store: ArtifactStore, sha256: str) -> Condition:
    try:
        store.verify(sha256)
    except ArtifactDamaged:
        return Condition.DAMAGED
    except ArtifactNotFound:
        return Condition.MISSING
    return Condition.INTACT


def _references(database: Database, sha256: str) -> tuple[Reference, ...]:
    queries = {
        ReferenceKind.RESULT: select(job_artifacts.c.job_id, job_artifacts.c.name).where(
            job_artifacts.c.sha256 == sha256
        ),
        ReferenceKind.UPLOAD: select(uploads.c.id, uploads.c.filename).where(uploads.c.sha256 == sha256),
        ReferenceKind.OUTPUT: select(stage_outputs.c.job_id, stage_outputs.c.stage).where(
            stage_outputs.c.sha256 == sha256
        ),
    }
    with database.read() as tx:
        return tuple(Reference(kind, *row) for kind, query in queries.items() for row in tx.execute(query))
