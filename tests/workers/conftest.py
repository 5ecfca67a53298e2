import os
from collections.abc import Iterator

import pytest
import ray

from store import queue
from store.records import Lease
from store.session import Database
from tests.pipeline.jobs import TINY
from tests.waiting import wait_until
from workers.on_ray.capacity import Share
from workers.on_ray.executor import RayExecutor
from workers.process import start_ray
from workers.settings import WorkerSettings


@pytest.fixture(scope="session")
def ray_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A real Ray with two cores, started as a runner starts it, once per test process. Its cores may be taken."""
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    start_ray(WorkerSettings(home=tmp_path_factory.mktemp("home"), cpus=2))
    yield
    ray.shutdown()


class SharedExecutor:
    """An executor with two processes, which take seconds to start, for all tests that leave them alive."""

    def __init__(self) -> None:
        self._open: RayExecutor | None = None

    def get(self) -> RayExecutor:
        """Return the executor; open it if it is closed."""
        self._open = self._open or RayExecutor(Share(slots=2, workers=2, cpus=1, gpus=0.0))
        return self._open

    def close_if_busy(self) -> None:
        """Close the executor if a test has left trainings on it, as failing tests do."""
        if self._open is not None and self._open._pool._running:
            self.close()

    def close(self) -> None:
        """Close the executor, and wait until its cores are free."""
        if self._open is not None:
            with self._open:
                self._open = None
            wait_until(lambda: ray.available_resources().get("CPU") == 2)


@pytest.fixture(scope="session")
def shared_executor(ray_session: None) -> SharedExecutor:
    return SharedExecutor()


@pytest.fixture
def executor(shared_executor: SharedExecutor) -> Iterator[RayExecutor]:
    """An executor with two processes, shared with other tests."""
    yield shared_executor.get()
    shared_executor.close_if_busy()


@pytest.fixture
def local_ray(shared_executor: SharedExecutor) -> None:
    """The real Ray of this test process, with its two cores free."""
    shared_executor.close()


@pytest.fixture
def lease(database: Database) -> Lease:
    """The lease of the only job in the queue; it does not expire during a test."""
    with database.begin() as tx:
        queue.submit(tx, TINY)
        claim = queue.claim(tx, "test", 3600)
    assert claim is not None
    return claim.lease
