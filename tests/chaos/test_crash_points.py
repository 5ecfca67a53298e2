"""SIGKILL at every crash point: the next process loses nothing that was finished, and repeats none of it."""

import ast
import os
import signal
from typing import Any

import httpx
import pytest
import torch
from safetensors.torch import save

from store import jobs
from store.crash_points import POINTS
from store.records import Job, JobState
from tests.chaos import inspection
from tests.chaos.conftest import Home
from tests.chaos.inspection import Ended
from tests.resume.attempts import ROOT
from tests.waiting import wait_until

RUNNER = (
    "claim.before_commit",
    "claim.after",
    "checkpoint.before_rename",
    "checkpoint.after_rename",
    "stage.before_commit",
    "stage.after_commit",
    "outcome.before_commit",
    "outcome.after_commit",
    "finish.before_commit",
    "finish.after_commit",
)
LATE = ("checkpoint.before_rename:6", "outcome.after_commit:2")
"""Crash points reached for the nth time; the sixth file of the tiny job belongs to its result."""
API = ("submit.before_commit", "submit.after_commit", "upload.before_commit", "upload.after_commit")
RAY = ("trial.begin", "trial.epoch:2", "trial.end")
SHUTDOWN = ("release.before_commit",)

pytestmark = pytest.mark.timeout(600)


def test_every_crash_point_in_the_code_is_listed_and_tested() -> None:
    reached = {
        argument.value
        for package in ("api", "cli", "migrations", "safs", "search_spaces", "store", "workers")
        for file in (ROOT / package).rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "reach"
        for argument in call.args
        if isinstance(argument, ast.Constant)
    }
    tested = {point.partition(":")[0] for point in RUNNER + API + RAY + SHUTDOWN}

    assert reached == set(POINTS)
    assert tested == set(POINTS)


def die(home: Home, job_id: str, point: str) -> dict[inspection.TrialKey, inspection.Row]:
    """Run a runner that dies at ``point``; return the trials that it left finished."""
    assert home.runner(crash_at=point).wait() == -signal.SIGKILL, home.log()
    left = inspection.finished(home.database, job_id)
    inspection.check_artifacts(home.database, home.folder / "artifacts")
    inspection.let_leases_expire(home.database)
    return left


def check(home: Home, job_id: str, left: dict[inspection.TrialKey, inspection.Row], expected: Ended) -> Job:
    """Check that the job ended as if no process had died, and that ``left`` is unchanged; return the job."""
    job, after = home.job(job_id), inspection.finished(home.database, job_id)
    assert job.state is JobState.SUCCEEDED, home.log()
    assert {key: after[key] for key in left} == left
    assert inspection.ended(home.database, job_id) == expected
    inspection.check_events(home.database, job)
    inspection.check_artifacts(home.database, home.folder / "artifacts")
    return job


@pytest.mark.exhaustive
@pytest.mark.parametrize("point", RUNNER + LATE)
def test_a_job_whose_runner_dies_at_a_crash_point_ends_as_if_nothing_had_happened(
    point: str, sqlite_home: Home, undisturbed: Ended
) -> None:
    job_id = sqlite_home.submit()

    left = die(sqlite_home, job_id, point)
    if not sqlite_home.job(job_id).state.is_final:
        assert sqlite_home.runner().wait() == 0, sqlite_home.log()

    job = check(sqlite_home, job_id, left, undisturbed)
    claims = {"claim.before_commit": 1, "finish.after_commit": 1}.get(point, 2)
    assert (job.attempt, job.runners_lost) == (claims, claims - 1)


@pytest.mark.parametrize(
    "database_url", [pytest.param("sqlite", marks=pytest.mark.exhaustive), "postgresql"], indirect=True
)
def test_a_job_whose_runners_die_at_each_crash_point_in_turn_ends_as_if_nothing_had_happened(
    home: Home, undisturbed: Ended
) -> None:
    job_id = home.submit()
    left: dict[inspection.TrialKey, inspection.Row] = {}

    for point in RUNNER:
        now_left = die(home, job_id, point)
        assert {key: now_left[key] for key in left} == left
        left = now_left

    check(home, job_id, left, undisturbed)


@pytest.mark.parametrize("point", SHUTDOWN)
def test_a_runner_that_dies_while_it_hands_its_job_back_has_not_handed_it_back(
    point: str, sqlite_home: Home, undisturbed: Ended
) -> None:
    job_id = sqlite_home.submit()
    runner = sqlite_home.runner(crash_at=point, once=False)
    wait_until(lambda: bool(inspection.finished(sqlite_home.database, job_id)))
    runner.send(signal.SIGTERM)
    assert runner.wait() == -signal.SIGKILL, sqlite_home.log()
    left = inspection.finished(sqlite_home.database, job_id)
    assert sqlite_home.job(job_id).state is JobState.RUNNING

    inspection.let_leases_expire(sqlite_home.database)
    assert sqlite_home.runner().wait() == 0, sqlite_home.log()

    assert check(sqlite_home, job_id, left, undisturbed).attempt == 2


@pytest.mark.parametrize(
    "database_url", [pytest.param("sqlite", marks=pytest.mark.exhaustive), "postgresql"], indirect=True
)
@pytest.mark.parametrize("point", ["submit.before_commit", "submit.after_commit"])
def test_a_submission_in_which_the_api_dies_is_stored_whole_or_not_at_all_and_can_be_sent_again(
    point: str, home: Home, undisturbed: Ended
) -> None:
    key = {"Idempotency-Key": "once"}
    with home.api(crash_at=point) as api:
        with pytest.raises(httpx.TransportError):
            api.http.post("/v1/jobs", json=inspection.TINY, headers=key)
        assert api.process.wait() == -signal.SIGKILL
    with home.database.read() as tx:
        before = [job.id for job in jobs.list(tx).items]
    assert len(before) == ("after" in point)

    with home.api() as api:
        answer = api.http.post("/v1/jobs", json=inspection.TINY, headers=key)
        listed = api.http.get("/v1/jobs").json()["items"]
    assert answer.status_code == 202, answer.text
    assert [job["id"] for job in listed] == (before or [answer.json()["id"]]) == [answer.json()["id"]]
    assert home.runner().wait() == 0, home.log()
    check(home, answer.json()["id"], {}, undisturbed)


@pytest.mark.parametrize(
    "point",
    [
        "upload.before_commit",
        *(
            pytest.param(name, marks=pytest.mark.exhaustive)
            for name in ("upload.after_commit", "checkpoint.before_rename")
        ),
    ],
)
def test_an_upload_in_which_the_api_dies_is_stored_whole_or_not_at_all(point: str, sqlite_home: Home) -> None:
    content = save({"w": torch.arange(1000.0)})
    sent: dict[str, Any] = {"content": content, "headers": {"Content-Type": "application/octet-stream"}}
    with sqlite_home.api(crash_at=point) as api:
        with pytest.raises(httpx.TransportError):
            api.http.post("/v1/uploads", **sent)
        assert api.process.wait() == -signal.SIGKILL
    store = sqlite_home.folder / "artifacts"
    assert inspection.check_artifacts(sqlite_home.database, store) == (point == "upload.after_commit")

    with sqlite_home.api() as api:
        answer = api.http.post("/v1/uploads", **sent)
        again = api.http.get(f"/v1/uploads/{answer.json()['id']}")
    assert (answer.status_code, again.json()) == (201, answer.json())
    assert inspection.check_artifacts(sqlite_home.database, store) == 1


@pytest.mark.slow
@pytest.mark.exhaustive  # It starts its own Ray; tests/workers/on_ray/test_lost_workers.py kills workers too.
def test_ray_workers_that_die_at_each_crash_point_are_replaced_and_their_trials_run_again(
    sqlite_home: Home, undisturbed: Ended
) -> None:
    job_id = sqlite_home.submit()
    died = {point: sqlite_home.folder / point.partition(":")[0] for point in RAY}
    places = ",".join(f"{point}@{marker}" for point, marker in died.items())
    runner = sqlite_home.ray_runner(cpus=1, crash_at=places)
    try:
        wait_until(lambda: sqlite_home.job(job_id).state.is_final or runner.poll() is not None, 300)
    finally:
        os.killpg(runner.pid, signal.SIGKILL)
        runner.wait()

    assert all(marker.exists() for marker in died.values()), sqlite_home.log()
    job = check(sqlite_home, job_id, {}, undisturbed)
    assert (job.attempt, job.runners_lost, job.workers_lost) == (1, 0, 3)
