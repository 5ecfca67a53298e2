"""What a runner collects between jobs, and that it holds nothing up."""

import io
import logging
import os
import time
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
    """A file of two days ago that no row names."""
    path = store.path(store.put(io.BytesIO(content)).sha256)
    os.utime(path, (time.time() - 2 * 86_400,) * 2)
    return path


def test_an_idle_runner_collects(
    database: Database, settings: WorkerSettings, store: ArtifactStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path, stopping = orphan(store, b"orphan"), Event()
    runner = Runner(settings, database, stopping)

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            stopping.set()

    told = Told(level=logging.INFO)
    janitor_module.log.addHandler(told)
    runner.run_forever()
    janitor_module.log.removeHandler(told)

    assert not path.exists()
    assert "collected: 1 files without a row" in caplog.text
    with database.begin() as tx:
        assert not chores.claim(tx, chore(store), every_s=3600), "for an hour it is nobody's"


def test_what_takes_longer_than_it_may_is_done_in_several_turns(
    sqlite_database: Database, settings: WorkerSettings, store: ArtifactStore
) -> None:
    paths = [orphan(store, bytes([number])) for number in range(20)]
    janitor = Janitor(sqlite_database, store, settings)

    left = []
    while not left or left[-1]:
        janitor.tend(for_s=0)
        left.append(sum(path.exists() for path in paths))

    assert len(left) > 10
    assert left == sorted(left, reverse=True)


def test_a_database_that_is_away_stops_no_runner(
    settings: WorkerSettings, store: ArtifactStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    not_migrated = Database(f"sqlite:///{tmp_path / 'empty.db'}")

    Janitor(not_migrated, store, settings).tend(for_s=1)

    assert "whether something is to be collected cannot be asked" in caplog.text
    not_migrated.dispose()


def test_a_disk_that_does_not_let_go_of_a_file_stops_no_runner(
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
    Janitor(sqlite_database, store, settings).tend(for_s=60)

    assert "broken off" in caplog.text
