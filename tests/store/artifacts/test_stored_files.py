"""Artifacts: content under its hash, and the names that jobs give it."""

import errno
import fcntl
import hashlib
import io
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from store.artifacts import stored_files
from store.artifacts.folder_lock import NAME as LOCK
from store.artifacts.stored_files import ArtifactStore, artifact_store
from store.errors import ArtifactDamaged, ArtifactNotFound, StorageFull
from store.records import JobArtifact, Lease
from store.session import Database
from store.settings import StoreSettings

# sha256 of b"abc", from FIPS 180-2, appendix B.1.
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


def files(store: ArtifactStore) -> list[str]:
    return [path.name for path in store.folder.rglob("*") if path.is_file() and path.name != LOCK]


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


def test_content_is_on_the_disk_before_its_name_and_its_name_before_its_row(
    database: Database, lease: Lease, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    def place(path: str | Path) -> str:
        name = str(Path(path).relative_to(store.folder.parent)).replace(ABC, "HASH")
        return "incoming" if "incoming-" in name else name

    fsync, replace = os.fsync, os.replace

    def recorded_fsync(descriptor: int) -> None:
        steps.append(f"fsync {place(os.readlink(f'/proc/self/fd/{descriptor}'))}")
        fsync(descriptor)

    def recorded_replace(source: str, target: Path) -> None:
        assert Path(source).read_bytes() == b"abc"
        steps.append(f"rename {place(source)} to {place(target)}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)

    stored = store.put(io.BytesIO(b"abc"))
    with database.begin() as tx:
        stored_files.attach(tx, lease, "report.json", stored, "application/json")

    assert steps == [
        "fsync .",
        "fsync incoming",
        "rename incoming to artifacts/ba/HASH",
        "fsync artifacts/ba",
        "fsync artifacts",
    ]


def test_a_writer_waits_for_whoever_deletes_and_writers_do_not_wait_for_each_other(store: ArtifactStore) -> None:
    store.put(io.BytesIO(b"abc"))
    with store.lock.exclusive(timeout_s=0) as alone:
        assert alone
        with (store.folder / LOCK).open() as writer, pytest.raises(BlockingIOError):
            fcntl.flock(writer, fcntl.LOCK_SH | fcntl.LOCK_NB)

    with store.lock.shared(), store.lock.shared(), store.lock.exclusive(timeout_s=0.03) as alone:
        assert not alone
    with store.lock.exclusive(timeout_s=0) as alone:
        assert alone


@pytest.mark.parametrize("harm", ["a bit", "its end"])
def test_content_that_is_no_longer_what_was_put_is_told_from_content_that_is_gone(
    store: ArtifactStore, harm: str
) -> None:
    path = store.path(store.put(io.BytesIO(b"abc")).sha256)
    assert store.intact_path(ABC) == path
    path.chmod(0o644)
    path.write_bytes(b"abb" if harm == "a bit" else b"ab")

    with pytest.raises(ArtifactDamaged, match="safs scrub"):
        store.intact_path(ABC)

    store.put(io.BytesIO(b"abc"))
    assert store.intact_path(ABC).read_bytes() == b"abc"
    path.unlink()
    with pytest.raises(ArtifactNotFound) as missing:
        store.intact_path(ABC)
    assert not isinstance(missing.value, ArtifactDamaged)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_content_that_the_disk_has_no_room_for_leaves_nothing_and_what_was_there_stays(small_disk: Path) -> None:
    store = ArtifactStore(small_disk / "artifacts")
    store.put(io.BytesIO(b"abc"))

    with pytest.raises(StorageFull, match=f"disk of {store.folder} has no space") as full:
        store.put(io.BytesIO(bytes(2 << 20)))

    assert full.value.code == "out_of_space"
    assert files(store) == [ABC]
    assert store.intact_path(ABC)
    store.put(io.BytesIO(bytes(1 << 19)))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_is_full_only_at_the_end_is_no_different(
    store: ArtifactStore, call: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.folder.mkdir()

    def full(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, full)

    with pytest.raises(StorageFull):
        store.put(io.BytesIO(b"abc"))

    assert files(store) == []


def test_content_beyond_the_limit_is_refused_until_there_is_room(tmp_path: Path) -> None:
    store = artifact_store(StoreSettings(home=tmp_path, artifacts_limit_bytes=3_000))
    first = store.put(io.BytesIO(b"1" * 2_000))
    other_process = ArtifactStore(store.folder)
    second = other_process.put(io.BytesIO(b"2" * 900))

    with pytest.raises(StorageFull, match="holds 2900 bytes, and SAFS_ARTIFACTS_LIMIT_BYTES allows 3000"):
        store.put(io.BytesIO(b"3" * 1_001))

    assert sorted(files(store)) == sorted([first.sha256, second.sha256])
    store.path(first.sha256).unlink()
    assert store.put(io.BytesIO(b"3" * 1_001)).size_bytes == 1_001


def test_attached_content_is_found_by_its_name(database: Database, lease: Lease, store: ArtifactStore) -> None:
    report, config = store.put(io.BytesIO(b"abc")), store.put(io.BytesIO(b"{}"))

    with database.begin() as tx:
        stored_files.attach(tx, lease, "report.json", report, "application/json")
        stored_files.attach(tx, lease, "config.json", config, "application/json")

    with database.read() as tx:
        found = stored_files.of_job(tx, lease.job_id)
    assert list(found) == ["config.json", "report.json"]
    assert found["report.json"] == JobArtifact("report.json", ABC, 3, "application/json")


def test_name_attached_again_has_the_later_content(database: Database, lease: Lease, store: ArtifactStore) -> None:
    first, second = store.put(io.BytesIO(b"abc")), store.put(io.BytesIO(b"abcd"))

    for content in (first, first, second):
        with database.begin() as tx:
            stored_files.attach(tx, lease, "report.json", content, "application/json")

    with database.read() as tx:
        assert stored_files.of_job(tx, lease.job_id)["report.json"].size_bytes == 4


def test_crash_between_put_and_attach_leaves_no_broken_row(
    database: Database, lease: Lease, store: ArtifactStore
) -> None:
    stored = store.put(io.BytesIO(b"abc"))
    with database.begin() as tx:
        stored_files.attach(tx, lease, "report.json", stored, "application/json")
        tx.rollback()

    with database.read() as tx:
        assert stored_files.of_job(tx, lease.job_id) == {}
    assert store.path(ABC).is_file()
    # The next attempt makes the same content and goes on as if nothing had happened.
    with database.begin() as tx:
        stored_files.attach(tx, lease, "report.json", store.put(io.BytesIO(b"abc")), "application/json")
        assert stored_files.of_job(tx, lease.job_id)["report.json"].sha256 == ABC
