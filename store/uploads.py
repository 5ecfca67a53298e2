"""Files that users sent, to be named in job specs by their id."""

from sqlalchemy import insert, select

from store.artifacts import register
from store.errors import UploadNotFound
from store.ids import new_id
from store.records import StoredArtifact, Upload
from store.session import Transaction
from store.tables import artifacts, uploads


def create(tx: Transaction, artifact: StoredArtifact, filename: str, owner: str | None = None) -> Upload:
    """Gives stored content an id.

    Args:
        filename: what the user called it; shown, never used as a path.
    """
    register(tx, artifact)
    upload_id = new_id("upload")
    tx.execute(insert(uploads).values(id=upload_id, sha256=artifact.sha256, filename=filename, owner=owner))
    return get(tx, upload_id)


def get(tx: Transaction, upload_id: str) -> Upload:
    """The upload, or ``UploadNotFound``."""
    columns = (uploads.c.id, uploads.c.sha256, artifacts.c.size_bytes, uploads.c.filename, uploads.c.created_at)
    query = select(*columns, uploads.c.owner).join_from(uploads, artifacts).where(uploads.c.id == upload_id)
    row = tx.execute(query).mappings().one_or_none()
    if row is None:
        raise UploadNotFound(f"there is no upload {upload_id!r}; POST the file to /v1/uploads first")
    return Upload(**row)
