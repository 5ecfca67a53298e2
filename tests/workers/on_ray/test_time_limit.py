"""The time limit of a job on a real Ray while every trial hangs."""

import time
from pathlib import Path
from threading import Event, Thread

import pytest
import ray

from safs.pipeline import run
from store import jobs, queue, trial_pages
from store.records import Job, JobState
from store.session import Database
from tests.pipeline.jobs import TINY
from tests.waiting import wait_until
from tests.workers.hanging import LOCKED, STOPPED, state
from tests.workers.hanging_split import hang_trainings, hanging
from workers.runner import Runner
from workers.settings import WorkerSettings

LIMIT_S = 3600
JOB = TINY | {"train": {"epochs": 1}, "resources": {"time_limit_s": LIMIT_S}}


class Clock:
    """A stand-in for the module ``time`` whose monotonic clock the test can set forward."""

    ahead_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)


@pytest.mark.usefixtures("local_ray")
def test_a_job_whose_trials_all_hang_ends_with_its_time_limit_and_keeps_what_was_finished(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang_trainings(monkeypatch, tmp_path)
    clock = Clock()
    monkeypatch.setattr(run, "time", clock)
    with sqlite_database.begin() as tx:
        job_id = queue.submit(tx, JOB).id

    def job() -> Job:
        with sqlite_database.read() as tx:
            return jobs.get(tx, job_id)

    settings = WorkerSettings(home=tmp_path, cpus=2, poll_s=0.05)
    runner = Thread(target=Runner(settings, sqlite_database, Event()).run_one)
    runner.start()
    wait_until(lambda: hanging(tmp_path) or not runner.is_alive())
    assert hanging(tmp_path), job().error
    pids = [int((tmp_path / way).read_text()) for way in (LOCKED, STOPPED)]

    clock.ahead_s = LIMIT_S
    runner.join()

    ended = job()
    assert (ended.state, ended.error and ended.error.code) == (JobState.FAILED, "time_limit")
    assert ended.error is not None
    assert ended.error.stage == "activations"
    assert "3600 s" in ended.error.message
    with sqlite_database.read() as tx:
        kept = {trial.stage: trial.state for trial in trial_pages.list(tx, job_id).items}
    assert kept["dense"] == "done"
    wait_until(lambda: ray.available_resources().get("CPU") == 2)
    wait_until(lambda: not any(state(pid) for pid in pids))
