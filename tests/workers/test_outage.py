"""Operations are retried during an outage; an object storage that keeps failing ends the retries."""

import io
from pathlib import Path

import pytest

from store.artifacts.object_storage import ObjectStorage
from store.artifacts.stored_files import ArtifactStore
from store.errors import StorageUnavailable
from store.records import StoredArtifact
from workers import outage
from workers.outage import retry_during_outage


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    """The folder of the object storage, blocked by a file."""
    bucket = tmp_path / "bucket"
    bucket.write_text("away")
    return bucket


@pytest.fixture
def store(tmp_path: Path, bucket: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts", object_storage=ObjectStorage(f"file://{bucket}"))


def test_a_put_waits_until_the_object_storage_is_back(store: ArtifactStore, bucket: Path) -> None:
    waited: list[int] = []

    def unblock_at_the_third_retry() -> None:
        waited.append(len(waited))
        if len(waited) == 3:
            bucket.unlink()

    def put() -> StoredArtifact:
        return store.put(io.BytesIO(b"abc"))

    stored = retry_during_outage(put, check=unblock_at_the_third_retry, wait_s=0, what="a put")

    assert len(waited) == 3
    assert (bucket / stored.sha256[:2] / stored.sha256).read_bytes() == b"abc"


def test_an_object_storage_that_fails_for_long_is_an_error(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "STORAGE_TIMEOUT_S", 0.01)

    with pytest.raises(StorageUnavailable, match=r"the object storage file://.* does not work"):
        retry_during_outage(lambda: store.put(io.BytesIO(b"abc")), check=lambda: None, wait_s=0.001, what="a put")
