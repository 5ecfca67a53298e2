import os
from collections.abc import Iterator

import pytest
import ray

from store import queue
from store.records import Lease
from store.session import Database
from tests.pipeline.jobs import TINY
from workers.process import start_ray
from workers.settings import WorkerSettings


@pytest.fixture(scope="session")
def local_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A real Ray with two cores, started as a runner starts it, once per test process."""
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    start_ray(WorkerSettings(home=tmp_path_factory.mktemp("home"), cpus=2))
    yield
    ray.shutdown()


@pytest.fixture
def lease(database: Database) -> Lease:
    """The lease of the only job in the queue; it does not expire during a test."""
    with database.begin() as tx:
        queue.submit(tx, TINY)
        claim = queue.claim(tx, "test", 3600)
    assert claim is not None
    return claim.lease
