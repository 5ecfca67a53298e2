"""A runner collects garbage between jobs, in short steps, and survives errors of the collection."""

import io
import logging
import os
import time
from math import inf
from pathlib import Path
from threading import Event

import pytest

from store.artifacts.stored_files import ArtifactStore
from store.session import Database
from store.upkeep import chores
from store.upkeep.collection import chore
from workers import janitor as janitor_module
from workers.janitor import Janitor
from workers.runner import Runner
from workers.settings import WorkerSettings


@pytest.fixture
def settings(tmp_path: Path) -> WorkerSettings:
    return WorkerSettings(home=tmp_path, poll_s=0.01)


@pytest.fixture
def store(settings: WorkerSettings) -> ArtifactStore:
    return ArtifactStore(settings.artifacts_folder)


def orphan(store: ArtifactStore, content: bytes) -> Path:
    """A two days old file that no row names."""
    path = store.path(store.put(io.BytesIO(content)).sha256)
    os.utime(path, (time.time() - 2 * 86_400,) * 2)
    return path


def test_an_idle_runner_collects(
    database: Database, settings: WorkerSettings, store: ArtifactStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path, stopping = orphan(store, b"orphan"), Event()
    runner = Runner(settings, database, stopping)

    class StopAtFirstRecord(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            stopping.set()

    stop = StopAtFirstRecord(level=logging.INFO)
    janitor_module.log.addHandler(stop)
    runner.run_forever()
    janitor_module.log.removeHandler(stop)

    assert not path.exists()
    assert "collected: 1 files without a row" in caplog.text
    with database.begin() as tx:
        assert not chores.claim(tx, chore(store), every_s=3600), "no runner collects again within the hour"


def test_a_long_collection_is_split_into_several_short_ones(
    sqlite_database: Database, settings: WorkerSettings, store: ArtifactStore
) -> None:
    paths = [orphan(store, bytes([number])) for number in range(20)]
    janitor = Janitor(sqlite_database, store, settings)

    left = []
    while not left or left[-1]:
        janitor.run(for_s=0)
        left.append(sum(path.exists() for path in paths))

    assert len(left) > 10
    assert left == sorted(left, reverse=True)


def test_a_collection_without_a_database_is_logged_and_raises_nothing(
    settings: WorkerSettings, store: ArtifactStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    not_migrated = Database(f"sqlite:///{tmp_path / 'empty.db'}")

    Janitor(not_migrated, store, settings).run(for_s=inf)

    assert "the database could not say whether a garbage collection is due" in caplog.text
    not_migrated.dispose()


def test_a_file_that_cannot_be_deleted_is_logged_and_raises_nothing(
    sqlite_database: Database,
    settings: WorkerSettings,
    store: ArtifactStore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    orphan(store, b"orphan")

    def refused(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refused)
    Janitor(sqlite_database, store, settings).run(for_s=inf)

    assert "the garbage collection was interrupted" in caplog.text
