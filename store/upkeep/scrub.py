"""Looks at every byte of every artifact that the database names, and says what is hit where one is not what it was."""

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


class Use(StrEnum):
    """What content is to somebody."""

    RESULT = "result"
    UPLOAD = "upload"
    OUTPUT = "stage output"


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who names the content."""

    use: Use
    id: str
    """Of the job, or of the upload."""
    name: str
    """Of the file, or of the stage."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One artifact, after a look at every byte."""

    sha256: str
    size_bytes: int
    condition: Condition
    users: tuple[User, ...] = ()
    """Who is hit; of what is intact nobody is looked for."""

    @property
    def is_cache(self) -> bool:
        """Whether only stage outputs name it, which are made anew where they are missing."""
        return all(user.use is Use.OUTPUT for user in self.users)


def size_of_all(tx: Transaction) -> tuple[int, int]:
    """(artifacts, bytes) that there are to look at."""
    count, size_bytes = tx.execute(select(func.count(), func.coalesce(func.sum(artifacts.c.size_bytes), 0))).one()
    return count, int(size_bytes)


def scrub(database: Database, store: ArtifactStore) -> Iterator[Checked]:
    """Every artifact by its hash; what is harmed, and named by nobody any more, is left out: it will go."""
    last = ""
    while rows := _page(database, last):
        for sha256, size_bytes in rows:
            condition = _condition(store, sha256)
            if condition is Condition.INTACT:
                yield Checked(sha256, size_bytes, condition)
            elif users := _users(database, sha256):
                yield Checked(sha256, size_bytes, condition, users)
        last = rows[-1][0]


def drop_outputs(tx: Transaction, sha256: str) -> int:
    """Forgets the stage outputs with this content, so that jobs make them anew; how many those were."""
    return tx.execute(delete(stage_outputs).where(stage_outputs.c.sha256 == sha256)).rowcount


def _page(database: Database, last: str) -> list[tuple[str, int]]:
    query = select(artifacts.c.sha256, artifacts.c.size_bytes).where(artifacts.c.sha256 > last)
    with database.read() as tx:
        rows = tx.execute(query.order_by(artifacts.c.sha256).limit(_ROWS_AT_ONCE))
        return [(row.sha256, row.size_bytes) for row in rows]


def _condition(store: ArtifactStore, sha256: str) -> Condition:
    try:
        store.check(sha256)
    except ArtifactDamaged:
        return Condition.DAMAGED
    except ArtifactNotFound:
        return Condition.MISSING
    return Condition.INTACT


def _users(database: Database, sha256: str) -> tuple[User, ...]:
    results = select(job_artifacts.c.job_id, job_artifacts.c.name).where(job_artifacts.c.sha256 == sha256)
    sent = select(uploads.c.id, uploads.c.filename).where(uploads.c.sha256 == sha256)
    kept = select(stage_outputs.c.job_id, stage_outputs.c.stage).where(stage_outputs.c.sha256 == sha256)
    with database.read() as tx:
        found = [(use, row) for use, query in zip(Use, (results, sent, kept), strict=True) for row in tx.execute(query)]
    return tuple(User(use, row[0], row[1]) for use, row in found)
