"""A real ``safs worker`` whose trials all hang.

``tests/workers/on_ray/test_time_limit.py`` ends a job whose trials hang in the same ways, within this process.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from store import jobs, queue, trial_pages
from store.records import Job, JobState
from store.session import Database
from tests.pipeline.jobs import TINY
from tests.resume.attempts import ROOT
from tests.waiting import wait_until
from tests.workers.hanging import LOCKED, STOPPED, state
from tests.workers.hanging_split import hanging
from tests.workers.hanging_worker import FOLDER

JOB = TINY | {"train": {"epochs": 1}}

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive, pytest.mark.timeout(600)]


def start(home: Path) -> "subprocess.Popen[bytes]":
    """Start the runner with a Ray of two cores, as the leader of a process group."""
    environment = os.environ | {
        "SAFS_HOME": str(home),
        "SAFS_DATABASE_URL": f"sqlite:///{home}/safs.db",
        "SAFS_CPUS": "2",
        FOLDER: str(home),
    }
    with (home / "runner.log").open("ab") as log:
        command = [sys.executable, "-m", "tests.workers.hanging_worker", "worker"]
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)


def test_a_runner_whose_trials_all_hang_hands_its_job_back_and_ends(tmp_path: Path, migrated_sqlite_file: Path) -> None:
    shutil.copy(migrated_sqlite_file, tmp_path / "safs.db")
    database = Database(f"sqlite:///{tmp_path}/safs.db")
    with database.begin() as tx:
        job_id = queue.submit(tx, JOB).id

    def job() -> Job:
        with database.read() as tx:
            return jobs.get(tx, job_id)

    runner = start(tmp_path)
    try:
        wait_until(lambda: runner.poll() is not None or job().state.is_final or hanging(tmp_path), 300)
        assert hanging(tmp_path), (tmp_path / "runner.log").read_text()
        family = psutil.Process(runner.pid).children(recursive=True)

        runner.send_signal(signal.SIGTERM)
        # Its trials never end, so the runner has not waited for them.
        code = runner.wait(300)
        wait_until(lambda: not any(state(process.pid) for process in family))
    finally:
        if runner.poll() is None:
            os.killpg(runner.pid, signal.SIGKILL)
        runner.wait()

    with database.read() as tx:
        kept = [(trial.stage, trial.outcome is not None) for trial in trial_pages.list(tx, job_id).items]
    database.dispose()
    assert code == 0, (tmp_path / "runner.log").read_text()
    assert {process.pid for process in family} >= {int((tmp_path / way).read_text()) for way in (LOCKED, STOPPED)}
    assert (job().state, job().attempt, job().runners_lost) == (JobState.QUEUED, 0, 0)
    assert ("dense", True) in kept
