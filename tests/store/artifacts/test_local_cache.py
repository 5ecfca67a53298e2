"""The local cache of object storage: its size is bounded, and files in use or not yet uploaded are not evicted."""

import io
import os
import time
from pathlib import Path

import pytest

from store.artifacts.local_cache import IN_USE_S
from store.artifacts.stored_files import ArtifactStore, artifact_store
from store.errors import StorageUnavailable
from store.records import StoredArtifact
from store.settings import StoreSettings

SIZE = 1000
OLD_S = IN_USE_S + 60


def content(number: int) -> bytes:
    return bytes([number]) * SIZE


@pytest.fixture
def settings(tmp_path: Path) -> StoreSettings:
    """Settings whose cache has room for three artifacts."""
    bucket = f"file://{tmp_path / 'bucket'}"
    return StoreSettings(home=tmp_path / "here", artifacts_url=bucket, artifacts_limit_bytes=3 * SIZE)


@pytest.fixture
def store(settings: StoreSettings) -> ArtifactStore:
    return artifact_store(settings)


def put(store: ArtifactStore, number: int) -> StoredArtifact:
    return store.put(io.BytesIO(content(number)))


def used(store: ArtifactStore, stored: StoredArtifact, seconds_ago: float) -> None:
    """Sets the times of the file to ``seconds_ago``."""
    os.utime(store._location(stored.sha256), (time.time() - seconds_ago,) * 2)


def is_cached(store: ArtifactStore, *some: StoredArtifact) -> list[bool]:
    """For each artifact, True if it is cached."""
    return [store._location(stored.sha256).exists() for stored in some]


def test_what_was_used_least_recently_goes_and_is_fetched_again_when_it_is_asked_for(store: ArtifactStore) -> None:
    first, second, third = (put(store, number) for number in range(3))
    for seconds_ago, stored in enumerate((third, second, first)):
        used(store, stored, OLD_S + seconds_ago)
    assert store.intact_path(first.sha256), "so it is the one that was used last"

    fourth = put(store, 3)

    assert is_cached(store, first, second, third, fourth) == [True, False, True, True]
    assert store.intact_path(second.sha256).read_bytes() == content(1)
    assert is_cached(store, first, second, third, fourth) == [True, True, False, True]


def test_what_is_in_use_stays_even_where_there_is_too_little_room(store: ArtifactStore) -> None:
    stored = [put(store, number) for number in range(5)]

    assert all(is_cached(store, *stored))
    for each in stored:
        used(store, each, OLD_S)
    put(store, 5)
    assert sum(is_cached(store, *stored)) == 2


def test_a_file_that_is_being_read_is_read_to_its_end(store: ArtifactStore) -> None:
    first = put(store, 0)
    with store.open(first.sha256) as stream:
        assert stream.read(1) == content(0)[:1]
        used(store, first, OLD_S)
        for number in range(1, 4):
            put(store, number)
        assert is_cached(store, first) == [False]
        assert stream.read() == content(0)[1:]


def test_what_the_object_storage_has_not_or_not_whole_is_never_evicted(
    store: ArtifactStore, settings: StoreSettings, tmp_path: Path
) -> None:
    before = ArtifactStore(settings.artifacts_folder).put(io.BytesIO(content(0)))  # before there was a storage
    cut = put(store, 1)
    (tmp_path / "bucket" / cut.sha256[:2] / cut.sha256).chmod(0o644)
    os.truncate(tmp_path / "bucket" / cut.sha256[:2] / cut.sha256, SIZE - 1)
    both = put(store, 2)
    for stored in (before, cut, both):
        used(store, stored, OLD_S)

    put(store, 3)

    assert is_cached(store, before, cut, both) == [True, True, False]


def test_without_a_limit_everything_stays(settings: StoreSettings) -> None:
    store = artifact_store(settings.model_copy(update={"artifacts_limit_bytes": None}))
    stored = [put(store, number) for number in range(4)]
    for each in stored:
        used(store, each, OLD_S)

    put(store, 4)

    assert all(is_cached(store, *stored))


def test_a_storage_that_does_not_answer_keeps_nobody_from_what_is_here(
    store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = [put(store, number) for number in range(3)]
    for each in stored:
        used(store, each, OLD_S)
    put(store, 3)
    gone = next(each for each in stored if not is_cached(store, each)[0])
    monkeypatch.setattr(store.object_storage, "size_of", _refuse)

    assert store.intact_path(gone.sha256).read_bytes() in map(content, range(3))


def _refuse(sha256: str) -> int:
    raise StorageUnavailable("it is away")


def test_a_copy_that_is_asked_for_just_before_it_would_go_stays(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = [put(store, number) for number in range(3)]
    for each in stored:
        used(store, each, OLD_S)
    asked: list[Path] = []

    def ask_meanwhile(sha256: str) -> int:
        asked.append(store.intact_path(sha256))
        return SIZE

    monkeypatch.setattr(store.object_storage, "size_of", ask_meanwhile)
    put(store, 3)

    assert len(asked) == 3
    assert all(path.exists() for path in asked)
