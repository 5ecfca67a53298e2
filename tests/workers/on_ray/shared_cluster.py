"""Two runners in two processes on one Ray: cores go to jobs in the order of their claims.

``test_shared_cluster.py`` runs these tests in a pytest process of their own.
"""

from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import ray

from safs.preflight import Preflight
from store import events, jobs, queue, trial_pages
from store.records import Job, JobState
from store.session import Database
from tests.pipeline.jobs import TINY
from tests.waiting import wait_until
from tests.workers.on_ray.second_runner import second_runner
from workers.attempt import Attempt
from workers.on_ray.executor import RayExecutor
from workers.runner import Runner
from workers.settings import WorkerSettings

pytestmark = pytest.mark.usefixtures("local_ray")

SMALL = TINY | {
    "tune": {"trials": 1, "epochs": 1},
    "final": {"epochs": 1, "candidates": ["default", "hyperparameters"]},
}


@pytest.fixture
def cluster() -> str:
    """The address of the Ray of this process, which has two cores."""
    return str(ray.get_runtime_context().gcs_address)


@pytest.fixture
def settings(tmp_path: Path, cluster: str) -> WorkerSettings:
    return WorkerSettings(home=tmp_path, ray_address=cluster, heartbeat_s=0.1, lease_s=3600, poll_s=0.05)


class LateRunner(Runner):
    """A runner whose job asks for its workers only after ``may_open`` is set."""

    def __init__(self, settings: WorkerSettings, database: Database, cluster: str, stopping: Event) -> None:
        self.may_open, self.waits = Event(), Event()

        def open_late(attempt: Attempt, preflight: Preflight) -> RayExecutor:
            self.waits.set()
            self.may_open.wait()
            return self._ray.open(attempt, preflight)

        super().__init__(settings, database, stopping, open_late, cluster)


def _submit(database: Database, **changes: Any) -> str:
    with database.begin() as tx:
        return queue.submit(tx, SMALL | changes).id


def _job(database: Database, job_id: str) -> Job:
    with database.read() as tx:
        return jobs.get(tx, job_id)


def test_a_job_that_was_claimed_second_waits_visibly_until_the_first_has_its_cores(
    sqlite_database: Database, sqlite_url: str, settings: WorkerSettings, cluster: str
) -> None:
    first, second = (_submit(sqlite_database, seed=seed) for seed in (1, 2))
    stopping = Event()
    runner = LateRunner(settings, sqlite_database, cluster, stopping)
    thread = Thread(target=runner.run_forever, daemon=True)
    thread.start()
    runner.waits.wait()

    with second_runner(settings, sqlite_url) as other:
        wait_until(lambda: _job(sqlite_database, second).cores_awaited or _job(sqlite_database, second).state.is_final)
        waiting = _job(sqlite_database, second)
        runner.may_open.set()
        other.join()  # The first runner, now idle, gives up the workers that it has kept.
    stopping.set()
    thread.join()

    assert (waiting.state, waiting.cores_awaited, waiting.jobs_before) == (JobState.RUNNING, 2, 1)
    with sqlite_database.read() as tx:
        notes = [event.data.get("message") for event in events.page(tx, second)]
        (begun_first,) = trial_pages.list(tx, first, stage="dense").items
        (begun_second,) = trial_pages.list(tx, second, stage="dense").items
    assert "Waiting for 2 cores of the cluster; 1 job before it." in notes
    assert begun_first.started_at < begun_second.started_at
    ended = [_job(sqlite_database, job_id) for job_id in (first, second)]
    assert [(job.state, job.cores_awaited) for job in ended] == [(JobState.SUCCEEDED, None)] * 2


def test_a_waiting_job_goes_on_when_the_runner_before_it_has_died(
    sqlite_database: Database, sqlite_url: str, settings: WorkerSettings, cluster: str
) -> None:
    _, second = (_submit(sqlite_database, seed=seed) for seed in (1, 2))
    with sqlite_database.begin() as tx:
        dead = queue.claim(tx, "dead", 3600, cluster)
    assert dead is not None

    with second_runner(settings, sqlite_url) as other:
        wait_until(lambda: _job(sqlite_database, second).cores_awaited)
        with sqlite_database.begin() as tx:
            queue.renew(tx, dead.lease, -1)
        other.join()

    assert _job(sqlite_database, second).state is JobState.SUCCEEDED
