"""Workers that live on after a job: who gets them, and when they end."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest
import ray

from safs import data
from safs.data import Split
from safs.events.kinds import Report
from safs.networks import Blueprint, Network
from safs.preflight import Preflight
from safs.spec.data import DataSpec
from store import events, jobs, queue
from store.records import JobState
from store.session import Database
from tests.pipeline.jobs import TINY
from tests.waiting import wait_until
from tests.workers.fake_pool import order
from tests.workers.light_worker import LightTrialActor
from workers.attempt import Attempt
from workers.on_ray.allocation import RayAllocation
from workers.on_ray.capacity import Share
from workers.on_ray.executor import RayExecutor
from workers.on_ray.messages import Answered, Failed, Message
from workers.on_ray.warm_workers import WarmWorkers
from workers.runner import Runner
from workers.settings import WorkerSettings

pytestmark = pytest.mark.usefixtures("local_ray")

SMALL = TINY | {
    "model": {"architecture": "mlp"},
    "train": {"epochs": 1},
    "tune": {"trials": 1, "epochs": 1},
    "final": {"epochs": 1, "candidates": ["default", "hyperparameters"]},
}
ONE = Share(slots=1, workers=1, cpus=1, gpus=0.0)
Open = Callable[..., WarmWorkers]


@pytest.fixture
def open_workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Makes ``WarmWorkers`` with the given limits and light actors; all workers have ended after the test."""
    monkeypatch.setattr("workers.on_ray.warm_workers.TrialActor", LightTrialActor)
    made: list[WarmWorkers] = []

    def make(idle_s: float = 3600, orders: int = 100, growth_bytes: float = 2**40) -> WarmWorkers:
        made.append(WarmWorkers(idle_s, orders, growth_bytes))
        return made[-1]

    yield make
    for workers in made:
        workers.close()
    wait_until(lambda: ray.available_resources().get("CPU") == 2)


def pid_of(network: Network, split: Split, batch_size: int, device: str) -> int:
    """Return the process of the worker that evaluates."""
    return os.getpid()


def pids_of(executor: RayExecutor, count: int, report: Report = lambda event: None) -> set[int]:
    """Return the processes of the workers that evaluate ``count`` networks."""
    split = data.load(DataSpec(dataset="digits"), root=None, channels=1, image_size=8, seed=0).validation
    return set(executor.measure(pid_of, [Network(Blueprint("lenet5", 1, 28, 10), {})] * count, split, 1, report))


def job(workers: WarmWorkers, share: Share = ONE, owner: str | None = None) -> int:
    """Return the process of the worker of a job with one order."""
    pool = workers.open(share, owner)
    pool.submit(order(os.getpid))
    messages: list[Message] = []
    while not any(isinstance(message, Answered) for message in messages):
        messages += pool.receive(1.0)
        assert not any(isinstance(message, Failed) for message in messages), messages
    workers.keep()
    pool.close()
    (pid,) = (message.answer for message in messages if isinstance(message, Answered))
    return int(pid)


def test_a_job_gets_the_live_workers_of_the_one_before_if_owner_and_share_are_the_same(open_workers: Open) -> None:
    workers = open_workers()

    first = [job(workers, owner="vision") for _ in range(3)]
    of_other_owner = job(workers, owner="speech")
    of_nobody = job(workers)
    of_other_share = job(workers, Share(slots=1, workers=1, cpus=2, gpus=0.0))

    assert len(set(first)) == 1
    assert len({first[0], of_other_owner, of_nobody, of_other_share}) == 4


def test_a_job_that_failed_leaves_no_workers(open_workers: Open) -> None:
    workers = open_workers()

    with pytest.raises(ValueError, match="in the job"), RayExecutor(ONE, lambda share: workers.open(share, None)):
        raise ValueError("in the job")

    assert not workers


def test_workers_end_after_their_number_of_orders_and_with_the_setting_zero_after_each_job(open_workers: Open) -> None:
    twice, never = open_workers(orders=2), open_workers(idle_s=0)

    of_two = [job(twice) for _ in range(3)]
    twice.close()
    of_never = [job(never) for _ in range(2)]

    assert of_two[0] == of_two[1] != of_two[2]
    assert of_never[0] != of_never[1]


def test_a_worker_whose_memory_has_grown_is_replaced(open_workers: Open) -> None:
    workers = open_workers(growth_bytes=-(2**40))

    assert job(workers) != job(workers)


def test_a_worker_that_died_between_two_jobs_is_replaced_and_is_no_fault_of_the_second(open_workers: Open) -> None:
    workers = open_workers()
    dead = job(workers)
    ray.get([worker.answer for worker in workers._kept])  # It has come to rest.
    os.kill(dead, signal.SIGKILL)

    assert job(workers) != dead


def test_idle_workers_end_after_a_while(open_workers: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = open_workers(idle_s=60)
    job(workers)
    kept_s = workers._kept_since_s

    monkeypatch.setattr("workers.on_ray.warm_workers.time.monotonic", lambda: kept_s + 59)
    workers.close_idle()
    before = len(workers)
    monkeypatch.setattr("workers.on_ray.warm_workers.time.monotonic", lambda: kept_s + 60)
    workers.close_idle()

    assert (before, len(workers)) == (1, 0)


def test_the_second_job_of_a_runner_starts_no_worker(sqlite_database: Database, tmp_path: Path) -> None:
    settings = WorkerSettings(home=tmp_path, cpus=2, heartbeat_s=0.1, lease_s=3600)
    allocation = RayAllocation(settings, cluster=None)
    pids: list[set[int]] = []

    def open_and_look(attempt: Attempt, preflight: Preflight) -> RayExecutor:
        executor = allocation.open(attempt, preflight)
        pids.append(set())
        while len(pids[-1]) < 2:
            pids[-1] |= pids_of(executor, 2, attempt.recorder)
        return executor

    runner = Runner(settings, sqlite_database, Event(), open_and_look)
    with sqlite_database.begin() as tx:
        ids = [queue.submit(tx, SMALL).id for _ in range(2)]

    while runner.run_one():
        pass
    allocation.close()

    assert pids[0] == pids[1]
    with sqlite_database.read() as tx:
        states = [jobs.get(tx, job_id).state for job_id in ids]
        notes = [[event.data.get("message", "") for event in events.page(tx, job_id)] for job_id in ids]
    assert states == [JobState.SUCCEEDED] * 2
    assert [[note for note in of_job if note.startswith("Starting")] for of_job in notes] == [
        ["Starting 2 workers, each with 1 core."],
        [],
    ]
