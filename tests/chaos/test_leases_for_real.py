"""Leases between real processes: stopped and continued, killed, asked to stop; by the clock, not by SQL."""

import signal
import time
from collections import Counter

import pytest

from store.records import JobState
from tests.chaos import looks
from tests.chaos.conftest import Home
from tests.cli.conftest import wait_until

SHORT = {"lease_s": 2.0, "heartbeat_s": 0.5}
LONG_JOB = {"activations": {"strategy": "random", "trials": 40, "epochs": 2}}
"""Nobody waits for its end."""

pytestmark = pytest.mark.timeout(300)


def test_a_runner_that_is_stopped_past_its_lease_and_continued_writes_nothing_more(home: Home) -> None:
    job_id = home.submit(**LONG_JOB)
    first = home.runner(**SHORT)
    wait_until(lambda: len(looks.finished(home.database, job_id)) >= 2)
    home.freeze(first)
    left = len(looks.finished(home.database, job_id))
    second = home.runner(once=False, lease_s=60.0, heartbeat_s=20.0)
    wait_until(lambda: home.job(job_id).attempt == 2)
    wait_until(lambda: len(looks.finished(home.database, job_id)) > left)
    home.freeze(second)
    before = looks.everything(home.database)

    first.send(signal.SIGCONT)

    assert first.wait() == 0
    assert looks.everything(home.database) == before
    assert "given up: the lease of job" in home.log()
    second.kill()


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_runner_that_is_killed_is_noticed_and_its_job_taken_over_by_the_default_settings(home: Home) -> None:
    job_id = home.submit(**LONG_JOB)
    first = home.runner()
    wait_until(lambda: bool(looks.finished(home.database, job_id)))
    second = home.runner(once=False)
    first.kill()
    killed_at = time.monotonic()

    wait_until(lambda: home.job(job_id).attempt == 2, 60)

    assert time.monotonic() - killed_at < 40
    assert home.job(job_id).runners_lost == 1
    second.kill()


def test_two_runners_run_each_of_three_jobs_once(home: Home) -> None:
    ids = [home.submit(seed=seed) for seed in range(3)]

    runners = [home.runner(once=False) for _ in range(2)]
    wait_until(lambda: all(home.job(job_id).state.is_final for job_id in ids))
    for runner in runners:
        runner.send(signal.SIGTERM)

    assert [runner.wait() for runner in runners] == [0, 0]
    for job_id in ids:
        job = home.job(job_id)
        begun = Counter(
            (event.data["stage"], event.data["candidate"]["number"])
            for event in looks.told(home.database, job_id)
            if event.kind == "trial_started"
        )
        assert (job.state, job.attempt, job.runners_lost) == (JobState.SUCCEEDED, 1, 0)
        assert set(begun.values()) == {1}


def test_a_runner_that_is_asked_to_stop_hands_its_job_back_at_once(home: Home) -> None:
    job_id = home.submit(**LONG_JOB)
    runner = home.runner(once=False)
    wait_until(lambda: bool(looks.finished(home.database, job_id)))
    left = looks.finished(home.database, job_id)

    runner.send(signal.SIGTERM)
    asked_at = time.monotonic()
    wait_until(lambda: home.job(job_id).state is JobState.QUEUED, 5)

    assert time.monotonic() - asked_at < 5
    assert runner.wait() == 0
    job, after = home.job(job_id), looks.finished(home.database, job_id)
    assert (job.attempt, job.runners_lost, job.worker) == (0, 0, None)
    assert {key: after[key] for key in left} == left
