"""Uploads: stored content with an id that job specs name."""

import pytest

from store import uploads
from store.errors import UploadNotFound
from store.records import StoredArtifact
from store.session import Database

CONTENT = StoredArtifact("ab" * 32, size_bytes=5)


def test_upload_is_read_back_by_its_id(database: Database) -> None:
    with database.begin() as tx:
        created = uploads.create(tx, CONTENT, "dense.safetensors", tensors=3)

    with database.read() as tx:
        found = uploads.get(tx, created.id)

    assert found == created
    assert (found.sha256, found.size_bytes, found.filename) == ("ab" * 32, 5, "dense.safetensors")


def test_same_content_uploaded_twice_has_two_ids(database: Database) -> None:
    with database.begin() as tx:
        first = uploads.create(tx, CONTENT, "a.safetensors", tensors=3)
        second = uploads.create(tx, CONTENT, "b.safetensors", tensors=3)

    assert first.id != second.id
    assert first.sha256 == second.sha256


def test_unknown_upload_is_named_in_the_error(database: Database) -> None:
    with database.read() as tx, pytest.raises(UploadNotFound, match="'upload_missing'"):
        uploads.get(tx, "upload_missing")
