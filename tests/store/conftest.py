"""A job in the hands of a runner, and a folder of artifacts."""

from pathlib import Path

import pytest

from store import queue
from store.artifacts.stored_files import ArtifactStore
from store.records import Lease
from store.session import Database
from store.settings import StoreSettings


@pytest.fixture
def lease(database: Database) -> Lease:
    """The lease of the one job in the queue, just claimed, with a minute to go."""
    with database.begin() as tx:
        queue.submit(tx, {"sparsity": 0.99})
        claim = queue.claim(tx, "runner-1", lease_s=60)
    assert claim is not None
    return claim.lease


@pytest.fixture
def settings(tmp_path: Path) -> StoreSettings:
    return StoreSettings(home=tmp_path, retention_days=90, outputs_days=30)


@pytest.fixture
def store(settings: StoreSettings) -> ArtifactStore:
    return ArtifactStore(settings.artifacts_folder)
