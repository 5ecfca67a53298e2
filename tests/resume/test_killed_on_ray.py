"""SIGKILL of a real runner with its Ray, in the middle of a search with two trials in flight.

``test_killed_runner.py`` kills runners without Ray, ``tests/chaos/test_crash_points.py`` processes of a Ray.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from store import events, jobs, queue, trials
from store.records import FinishedTrial, JobState
from store.session import Database
from tests.resume.attempts import ROOT
from tests.waiting import wait_until

PATIENCE_S = 250.0

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive, pytest.mark.timeout(600)]

JOB = {
    "model": {"architecture": "mlp"},
    "data": {"dataset": "digits", "batch_size": 64},
    "sparsity": 0.9,
    "train": {"epochs": 1, "learning_rate": 1e-2},
    "prune": {"schedule": "one_shot", "distribution": "global"},
    "activations": {"strategy": "lahc", "trials": 8, "epochs": 4},
    "final": {"epochs": 1, "candidates": ["default", "activations"]},
}


def start(home: Path) -> "subprocess.Popen[bytes]":
    """Start ``safs worker`` with a Ray of two cores, as the leader of a process group."""
    environment = os.environ | {
        "SAFS_HOME": str(home),
        "SAFS_DATABASE_URL": f"sqlite:///{home}/safs.db",
        "SAFS_CPUS": "2",
        "SAFS_LEASE_S": "10",
        "SAFS_HEARTBEAT_S": "2",
    }
    with (home / "runner.log").open("ab") as log:
        command = [sys.executable, "-m", "cli.main", "worker"]
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)


def run_until(home: Path, done: Callable[[], bool]) -> None:
    """Run a runner until ``done`` returns True, then kill its process group."""
    runner = start(home)
    try:
        wait_until(lambda: runner.poll() is not None or done(), PATIENCE_S)
        assert runner.poll() is None, (home / "runner.log").read_text()
    finally:
        os.killpg(runner.pid, signal.SIGKILL)
        runner.wait()


def test_the_runner_after_one_that_is_killed_with_its_ray_repeats_nothing(
    tmp_path: Path, migrated_sqlite_file: Path
) -> None:
    shutil.copy(migrated_sqlite_file, tmp_path / "safs.db")
    database = Database(f"sqlite:///{tmp_path}/safs.db")
    with database.begin() as tx:
        job_id = queue.submit(tx, JOB).id

    def finished() -> dict[int, FinishedTrial]:
        with database.read() as tx:
            return {one.trial.number: one for one in trials.finished(tx, job_id, "activations")}

    def state() -> JobState:
        with database.read() as tx:
            return jobs.get(tx, job_id).state

    run_until(tmp_path, lambda: len(finished()) >= 3)
    before = finished()
    with database.read() as tx:
        told_before = len(events.page(tx, job_id, limit=10_000))
    run_until(tmp_path, lambda: state().is_final)
    after = finished()

    with database.read() as tx:
        job, told = jobs.get(tx, job_id), events.page(tx, job_id, limit=10_000)
    database.dispose()
    assert (job.state, job.attempt, job.error) == (JobState.SUCCEEDED, 2, None)
    assert {number: after[number] for number in before} == before
    begun = [event.data for event in told[told_before:] if event.kind == "trial_started"]
    assert not {data["candidate"]["number"] for data in begun if data["stage"] == "activations"} & set(before)
    assert {data["stage"] for data in begun}.isdisjoint({"dense", "prune"})
    assert not [event for event in told if "resumed exactly" in event.data.get("message", "")]
