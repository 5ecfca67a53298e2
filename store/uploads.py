"""Uploaded files, which job specs refer to by id."""

from sqlalchemy import insert, select

from store.artifacts.stored_files import register
from store.errors import UploadNotFound
from store.ids import new_id
from store.records import StoredArtifact, Upload, UploadKind
from store.session import Transaction
from store.tables import artifacts, uploads


def create(
    tx: Transaction,
    artifact: StoredArtifact,
    filename: str,
    tensors: int | None,
    owner: str | None = None,
    *,
    kind: UploadKind = UploadKind.WEIGHTS,
    images: int | None = None,
) -> Upload:
    """Create an upload from stored content.

    Args:
        filename: the user's name for the file; only displayed, never used as a path.
        tensors: number of tensors in the file; None for a data set.
        owner: owner of the key that sent the file; None without a key.
        images: number of images in the file; None for weights.
    """
    register(tx, artifact)
    upload_id = new_id("upload")
    values = {"id": upload_id, "sha256": artifact.sha256, "filename": filename, "owner": owner, "tensors": tensors}
    values |= {"kind": kind, "images": images}
    tx.execute(insert(uploads).values(values))
    return get(tx, upload_id)


def get(tx: Transaction, upload_id: str, owner: str | None = None) -> Upload:
    """The upload; raises ``UploadNotFound``, also if ``owner`` is given and the upload belongs to another owner."""
    columns = (uploads.c.id, uploads.c.sha256, artifacts.c.size_bytes, uploads.c.filename, uploads.c.created_at)
    query = (
        select(*columns, uploads.c.owner, uploads.c.tensors, uploads.c.kind, uploads.c.images)
        .join_from(uploads, artifacts)
        .where(uploads.c.id == upload_id)
    )
    row = tx.execute(query).mappings().one_or_none()
    if row is None or owner not in (None, row["owner"]):
        raise _unknown(upload_id)
    return Upload(**{**row, "kind": UploadKind(row["kind"])})


def lock(tx: Transaction, upload_id: str) -> None:
    """Lock the upload against collection until the transaction ends; raises ``UploadNotFound``.

    Call it before queueing a job that refers to the upload. An upload that a job refers to is not collected.
    """
    held = select(uploads.c.id).where(uploads.c.id == upload_id).with_for_update(read=True, key_share=True)
    if tx.execute(held).one_or_none() is None:
        raise _unknown(upload_id)


def _unknown(upload_id: str) -> UploadNotFound:
    return UploadNotFound(f"there is no upload {upload_id!r}; POST the file to /v1/uploads first")
