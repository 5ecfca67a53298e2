"""Artifacts: content under its hash, and the names that jobs give it."""

import hashlib
import io
from pathlib import Path

import pytest

from store import artifacts
from store.artifacts import ArtifactStore
from store.errors import ArtifactNotFound
from store.records import JobArtifact, Lease
from store.session import Database

# sha256 of b"abc", from FIPS 180-2, appendix B.1.
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


def files(store: ArtifactStore) -> list[str]:
    return [path.name for path in store.folder.rglob("*") if path.is_file()]


def test_content_of_a_stream_is_stored_under_its_hash(store: ArtifactStore) -> None:
    stored = store.put(io.BytesIO(b"abc"))

    assert (stored.sha256, stored.size_bytes) == (ABC, 3)
    assert store.path(ABC).read_bytes() == b"abc"
    assert files(store) == [ABC]


def test_content_of_a_large_file_is_stored_whole(store: ArtifactStore, tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    (tmp_path / "weights").write_bytes(content)

    stored = store.put(tmp_path / "weights")

    assert (stored.sha256, stored.size_bytes) == (hashlib.sha256(content).hexdigest(), 2_560_000)
    with store.open(stored.sha256) as stream:
        assert stream.read() == content


def test_same_content_twice_is_one_file(store: ArtifactStore) -> None:
    assert store.put(io.BytesIO(b"abc")) == store.put(io.BytesIO(b"abc"))
    assert files(store) == [ABC]


def test_stored_content_is_not_writable(store: ArtifactStore) -> None:
    store.put(io.BytesIO(b"abc"))

    assert store.path(ABC).stat().st_mode & 0o777 == 0o444


def test_stream_that_breaks_off_leaves_nothing(store: ArtifactStore) -> None:
    class BrokenStream:
        def __init__(self) -> None:
            self.pieces = [b"abc"]

        def read(self, size: int, /) -> bytes:
            if not self.pieces:
                raise ConnectionResetError("the client went away")
            return self.pieces.pop()

    with pytest.raises(ConnectionResetError):
        store.put(BrokenStream())

    assert files(store) == []


@pytest.mark.parametrize("name", [ABC, "", "../secret", f"{ABC}/../{ABC}", ABC.upper(), f"{ABC}\n", "a" * 63])
def test_only_hashes_of_stored_content_lead_to_files(store: ArtifactStore, name: str) -> None:
    store.folder.mkdir()
    (store.folder.parent / "secret").write_text("not yours")

    with pytest.raises(ArtifactNotFound):
        store.path(name)


def test_attached_content_is_found_by_its_name(database: Database, lease: Lease, store: ArtifactStore) -> None:
    report, config = store.put(io.BytesIO(b"abc")), store.put(io.BytesIO(b"{}"))

    with database.begin() as tx:
        artifacts.attach(tx, lease, "report.json", report, "application/json")
        artifacts.attach(tx, lease, "config.json", config, "application/json")

    with database.read() as tx:
        found = artifacts.of_job(tx, lease.job_id)
    assert list(found) == ["config.json", "report.json"]
    assert found["report.json"] == JobArtifact("report.json", ABC, 3, "application/json")


def test_name_attached_again_has_the_later_content(database: Database, lease: Lease, store: ArtifactStore) -> None:
    first, second = store.put(io.BytesIO(b"abc")), store.put(io.BytesIO(b"abcd"))

    for content in (first, first, second):
        with database.begin() as tx:
            artifacts.attach(tx, lease, "report.json", content, "application/json")

    with database.read() as tx:
        assert artifacts.of_job(tx, lease.job_id)["report.json"].size_bytes == 4


def test_crash_between_put_and_attach_leaves_no_broken_row(
    database: Database, lease: Lease, store: ArtifactStore
) -> None:
    stored = store.put(io.BytesIO(b"abc"))
    with database.begin() as tx:
        artifacts.attach(tx, lease, "report.json", stored, "application/json")
        tx.rollback()

    with database.read() as tx:
        assert artifacts.of_job(tx, lease.job_id) == {}
    assert store.path(ABC).is_file()
    # The next attempt makes the same content and goes on as if nothing had happened.
    with database.begin() as tx:
        artifacts.attach(tx, lease, "report.json", store.put(io.BytesIO(b"abc")), "application/json")
        assert artifacts.of_job(tx, lease.job_id)["report.json"].sha256 == ABC
