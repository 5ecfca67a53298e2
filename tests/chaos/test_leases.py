"""Leases between real processes that are frozen, killed or asked to stop; leases expire by the database's clock."""

import signal
from collections import Counter

import pytest
from sqlalchemy import text

from store.records import JobState
from tests.chaos import inspection
from tests.chaos.conftest import Home
from tests.waiting import wait_until

SHORT = {"lease_s": 2.0, "heartbeat_s": 0.5}

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize(
    "database_url", [pytest.param("sqlite", marks=pytest.mark.exhaustive), "postgresql"], indirect=True
)
def test_a_runner_that_is_stopped_past_its_lease_and_continued_writes_nothing_more(home: Home) -> None:
    job_id = home.submit()
    first = home.runner(holds=(3,), **SHORT)
    wait_until(lambda: first.is_held(3))
    wait_until(lambda: len(inspection.finished(home.database, job_id)) == 2)
    home.freeze(first)
    second = home.runner(once=False, holds=(2,), lease_s=60.0, heartbeat_s=20.0)
    wait_until(lambda: second.is_held(2))  # It has resumed after the finished trainings.
    wait_until(lambda: len(inspection.finished(home.database, job_id)) == 3)
    assert home.job(job_id).attempt == 2
    home.freeze(second)
    before = inspection.everything(home.database)

    first.let_go(3)
    first.send(signal.SIGCONT)

    assert first.wait() == 0
    assert inspection.everything(home.database) == before
    assert "given up: the lease of job" in home.log()
    second.kill()


@pytest.mark.slow
@pytest.mark.exhaustive  # The default lease takes 30 s to expire.
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_runner_that_is_killed_is_noticed_and_its_job_taken_over_by_the_default_settings(home: Home) -> None:
    job_id = home.submit()
    first = home.runner(holds=(2,))
    wait_until(lambda: first.is_held(2))
    second = home.runner(once=False, holds=(2,))
    first.kill()
    with home.database.read() as tx:
        lease = tx.execute(text("SELECT lease_expires_at FROM jobs")).scalar_one()

    wait_until(lambda: home.job(job_id).attempt == 2)

    with home.database.read() as tx:
        taken_over = tx.execute(text("SELECT now()")).scalar_one()
    assert taken_over >= lease
    assert home.job(job_id).runners_lost == 1
    second.kill()


@pytest.mark.parametrize(
    "database_url", [pytest.param("sqlite", marks=pytest.mark.exhaustive), "postgresql"], indirect=True
)
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
            for event in inspection.told(home.database, job_id)
            if event.kind == "trial_started"
        )
        assert (job.state, job.attempt, job.runners_lost) == (JobState.SUCCEEDED, 1, 0)
        assert set(begun.values()) == {1}


def test_a_runner_that_is_asked_to_stop_hands_its_job_back_at_once(home: Home) -> None:
    job_id = home.submit()
    runner = home.runner(once=False, holds=(4,))
    wait_until(lambda: runner.is_held(4))
    wait_until(lambda: len(inspection.finished(home.database, job_id)) == 3)
    left = inspection.finished(home.database, job_id)

    runner.send(signal.SIGTERM)

    assert runner.wait() == 0  # The training is never let go, so the runner did not wait for its end.
    job, after = home.job(job_id), inspection.finished(home.database, job_id)
    assert job.state is JobState.QUEUED
    assert (job.attempt, job.runners_lost, job.worker) == (0, 0, None)
    assert {key: after[key] for key in left} == left
