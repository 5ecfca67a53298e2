"""Artifacts in object storage: two machines share them, each with a folder as its cache.

The storage is a folder (``file://``), through the same calls of fsspec as any other.
"""

import io
import os
import time
from collections import Counter
from pathlib import Path

import pytest

from store import queue
from store.artifacts.object_storage import ObjectStorage
from store.artifacts.stored_files import ArtifactStore, artifact_store, attach
from store.errors import ArtifactDamaged, ArtifactNotFound, StorageUnavailable, StoreError
from store.records import Lease
from store.session import Database
from store.settings import StoreSettings
from store.tables import artifacts as artifact_rows
from store.tables import jobs
from store.upkeep import scrub
from store.upkeep.collection import Kind, collect
from store.upkeep.scrub import Condition
from tests.store.belongings import age, age_files

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    return tmp_path / "bucket"


@pytest.fixture
def url(bucket: Path) -> str:
    return f"file://{bucket}"


@pytest.fixture
def here(url: str, tmp_path: Path) -> ArtifactStore:
    return artifact_store(StoreSettings(home=tmp_path / "here", artifacts_url=url))


@pytest.fixture
def there(url: str, tmp_path: Path) -> ArtifactStore:
    return artifact_store(StoreSettings(home=tmp_path / "there", artifacts_url=url))


def harm(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def test_what_one_machine_puts_another_reads(here: ArtifactStore, there: ArtifactStore, bucket: Path) -> None:
    stored = here.put(io.BytesIO(b"abc"))
    again = there.put(io.BytesIO(b"abc"))

    assert stored == again
    (there.folder / "ba" / ABC).unlink()
    assert there.intact_path(ABC) == there.folder / "ba" / ABC
    assert there.intact_path(ABC).read_bytes() == b"abc"
    assert [path.name for path in bucket.rglob("*") if path.is_file()] == [ABC]
    with there.open(ABC) as stream:
        assert stream.read() == b"abc"


def test_a_copy_that_is_damaged_here_is_replaced_by_the_one_there(here: ArtifactStore, there: ArtifactStore) -> None:
    here.put(io.BytesIO(b"abc"))
    harm(there.path(ABC))

    assert there.intact_path(ABC).read_bytes() == b"abc"


def test_content_that_the_storage_has_damaged_is_never_used(
    here: ArtifactStore, there: ArtifactStore, bucket: Path
) -> None:
    here.put(io.BytesIO(b"abc"))
    harm(bucket / "ba" / ABC)

    with pytest.raises(ArtifactDamaged):
        there.path(ABC)

    assert [path.name for path in there.folder.rglob("*") if path.is_file()] == []
    assert here.intact_path(ABC).read_bytes() == b"abc"
    with pytest.raises(ArtifactNotFound, match="is stored in file://"):
        there.path("ab" * 32)


def test_a_storage_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "artifacts", object_storage=ObjectStorage("ftp://me:s3cret@127.0.0.1:9/prefix"))

    with pytest.raises(StorageUnavailable, match=r"ftp://127\.0\.0\.1/prefix does not work") as caught:
        store.put(io.BytesIO(b"abc"))

    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(StoreSettings(home=tmp_path, artifacts_url="ftp://me:s3cret@127.0.0.1/"))


@pytest.mark.parametrize(
    ("url", "reason"), [("nosuch://bucket", "Protocol not known"), ("gcs://bucket", "install gcsfs")]
)
def test_a_protocol_that_nothing_speaks_is_refused_at_the_start(tmp_path: Path, url: str, reason: str) -> None:
    with pytest.raises(StoreError, match=f"(?i){reason}"):
        artifact_store(StoreSettings(home=tmp_path, artifacts_url=url))


def test_an_address_without_a_protocol_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must begin with a protocol"):
        StoreSettings(home=tmp_path, artifacts_url="bucket/prefix")


def test_scrub_looks_at_the_storage_and_an_intact_copy_heals_it(
    sqlite_database: Database, here: ArtifactStore, there: ArtifactStore, bucket: Path
) -> None:
    lease = begin(sqlite_database)
    with sqlite_database.begin() as tx:
        attach(tx, lease, "checkpoint", here.put(io.BytesIO(b"abc")), "application/octet-stream")
    harm(bucket / "ba" / ABC)

    assert [found.condition for found in scrub.scrub(sqlite_database, there)] == [Condition.DAMAGED]
    assert not there.repair(ABC)
    assert here.repair(ABC)
    assert [found.condition for found in scrub.scrub(sqlite_database, there)] == [Condition.INTACT]
    (bucket / "ba" / ABC).unlink()
    assert [found.condition for found in scrub.scrub(sqlite_database, here)] == [Condition.MISSING]
    assert here.repair(ABC), "as what was there before there was a storage"
    assert [found.condition for found in scrub.scrub(sqlite_database, here)] == [Condition.INTACT]


def test_what_no_row_names_goes_from_the_storage_too(
    sqlite_database: Database, here: ArtifactStore, bucket: Path, tmp_path: Path
) -> None:
    lease = begin(sqlite_database)
    with sqlite_database.begin() as tx:
        attach(tx, lease, "checkpoint", here.put(io.BytesIO(b"abc")), "application/octet-stream")
    here.put(io.BytesIO(b"orphan"))
    (bucket / "mine.txt").write_text("not the service's")
    (bucket / f"incoming-{'0' * 32}").write_text("half")

    assert run(sqlite_database, here, tmp_path) == {}
    age_all(bucket, here)
    assert run(sqlite_database, here, tmp_path) == {Kind.FILE: 1, Kind.OBJECT: 2}
    assert sorted(path.name for path in bucket.rglob("*") if path.is_file()) == [ABC, "mine.txt"]
    with sqlite_database.begin() as tx:
        tx.execute(jobs.delete())
    age(sqlite_database, artifact_rows, 2)
    assert run(sqlite_database, here, tmp_path) == {Kind.ARTIFACT: 1, Kind.FILE: 1, Kind.OBJECT: 1}


def run(database: Database, store: ArtifactStore, home: Path) -> Counter[str]:
    gone: Counter[str] = Counter()
    for removed in collect(database, store, StoreSettings(home=home)):
        gone[removed.kind] += removed.count
    return +gone


def begin(database: Database) -> Lease:
    with database.begin() as tx:
        queue.submit(tx, {})
        claim = queue.claim(tx, "runner-1", lease_s=600)
    assert claim is not None
    return claim.lease


def age_all(bucket: Path, store: ArtifactStore) -> None:
    age_files(store, 2)
    for path in bucket.rglob("*"):
        os.utime(path, (time.time() - 2 * 86_400,) * 2)
