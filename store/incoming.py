"""Uploads that arrive in parts: what was announced, and which parts have arrived.

Each part is stored as content of its own, so that parts may arrive in any order and at any process of the service. An
upload that is not completed within a day is deleted, see ``expiry``.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select, update

from store.artifacts.stored_files import register
from store.errors import UploadNotFound
from store.ids import new_id
from store.records import StoredArtifact
from store.session import Transaction
from store.tables import artifacts, incoming_uploads, upload_parts
from store.upsert import insert_or_update


@dataclass(frozen=True, slots=True)
class IncomingPart:
    """A part that has arrived."""

    number: int
    """Number of the part in the file, from 1."""
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class IncomingUpload:
    """An upload in parts."""

    id: str
    owner: str | None
    filename: str
    size_bytes: int
    """Announced size of the whole file."""
    upload_id: str | None
    """Id of the upload that the parts became; None before."""
    created_at: datetime
    parts: tuple[IncomingPart, ...]
    """The parts that have arrived, in order."""


def begin(tx: Transaction, filename: str, size_bytes: int, owner: str | None) -> IncomingUpload:
    """Create an upload in parts."""
    incoming_id = new_id("incoming")
    values = {"id": incoming_id, "filename": filename, "size_bytes": size_bytes, "owner": owner}
    tx.execute(insert(incoming_uploads).values(values))
    return get(tx, incoming_id)


def get(tx: Transaction, incoming_id: str, owner: str | None = None) -> IncomingUpload:
    """The upload; raises ``UploadNotFound``, also if ``owner`` is given and the upload belongs to another owner."""
    row = tx.execute(select(incoming_uploads).where(incoming_uploads.c.id == incoming_id)).mappings().one_or_none()
    if row is None or owner not in (None, row["owner"]):
        raise UploadNotFound(f"there is no upload in parts {incoming_id!r}; it may have expired, so begin a new one")
    query = (
        select(upload_parts.c.number, artifacts.c.sha256, artifacts.c.size_bytes)
        .join_from(upload_parts, artifacts)
        .where(upload_parts.c.incoming_id == incoming_id)
        .order_by(upload_parts.c.number)
    )
    return IncomingUpload(**row, parts=tuple(IncomingPart(*part) for part in tx.execute(query)))


def add_part(tx: Transaction, incoming_id: str, number: int, artifact: StoredArtifact) -> None:
    """Record a part that was stored; it replaces one of the same number."""
    register(tx, artifact)
    insert_or_update(tx, upload_parts, {"incoming_id": incoming_id, "number": number, "sha256": artifact.sha256})


def complete(tx: Transaction, incoming_id: str, upload_id: str) -> None:
    """Record the upload that the parts became, and let go of the parts."""
    tx.execute(delete(upload_parts).where(upload_parts.c.incoming_id == incoming_id))
    tx.execute(update(incoming_uploads).where(incoming_uploads.c.id == incoming_id).values(upload_id=upload_id))
