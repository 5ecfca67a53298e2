"""A runner with a real database, a real Ray, and artifacts on disk."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import ray

from safs.checkpoint import verify
from safs.result_folder import RESULT_FILES
from safs.spec.job import JobSpec
from store import events, jobs, queue, trial_pages, trials
from store.artifacts import stored_files
from store.artifacts.stored_files import ArtifactStore
from store.records import Job, JobState
from store.session import Database
from tests.pipeline.jobs import TINY
from tests.waiting import wait_until
from workers.runner import Runner
from workers.settings import WorkerSettings

pytestmark = pytest.mark.usefixtures("local_ray")

ALONE: dict[str, Any] = {"resources": {"trials_in_parallel": 1}}
"""One process for the trainings, since each takes seconds to start."""
RunOne = Callable[[WorkerSettings, Database, Event], bool]
ENDLESS = TINY | ALONE | {"train": {"epochs": 10_000}}


@pytest.fixture
def settings(tmp_path: Path) -> WorkerSettings:
    return WorkerSettings(home=tmp_path, cpus=2, heartbeat_s=0.1, lease_s=3600, poll_s=0.05)


@pytest.fixture
def run_one() -> Iterator[RunOne]:
    """Function (settings, database, stopping) that runs the next job; all cores are free after the test."""
    with ExitStack() as runners:

        def run(settings: WorkerSettings, database: Database, stopping: Event) -> bool:
            return runners.enter_context(Runner(settings, database, stopping)).run_one()

        yield run
    wait_until(lambda: ray.available_resources().get("CPU") == 2)


def _submit(database: Database, spec: dict[str, Any]) -> str:
    with database.begin() as tx:
        return queue.submit(tx, spec).id


def _job(database: Database, job_id: str) -> Job:
    with database.read() as tx:
        return jobs.get(tx, job_id)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # tests/cli/commands/test_up.py: SQLite
def test_a_job_runs_to_its_end_and_its_stored_files_pass_verification(
    database: Database, settings: WorkerSettings, run_one: RunOne, tmp_path: Path
) -> None:
    job_id = _submit(database, TINY)

    worked = run_one(settings, database, Event())

    job = _job(database, job_id)
    assert worked
    assert (job.state, job.error) == (JobState.SUCCEEDED, None)
    assert job.progress is not None
    assert job.progress["fraction"] == 1.0
    folder = tmp_path / "result"
    folder.mkdir()
    with database.read() as tx:
        for artifact in stored_files.of_job(tx, job_id).values():
            content = ArtifactStore(settings.artifacts_folder).path(artifact.sha256).read_bytes()
            (folder / RESULT_FILES[artifact.name].filename).write_bytes(content)
        stored_events = events.page(tx, job_id, limit=1000)
        tuned = trial_pages.list(tx, job_id, stage="tune").items
        curve = trials.curve(tx, job_id, "tune", 0)
    assert verify(folder).sparsity.live == 61_470 - 58_396
    report = json.loads((folder / "report.json").read_text())
    assert job.result is not None
    assert job.result["test_accuracy"] == next(
        row["test_accuracy"] for row in report["rows"] if row["name"] == report["result"]
    )
    assert [event.number for event in stored_events] == list(range(1, len(stored_events) + 1))
    assert [trial.number for trial in tuned] == [0, 1, 2]
    assert [point.epoch for point in curve] == [1]


@pytest.mark.exhaustive
def test_each_point_of_a_front_is_stored_and_passes_verification(
    database: Database, settings: WorkerSettings, run_one: RunOne, tmp_path: Path
) -> None:
    changes = {"sparsity": [0.8, 0.95], "final": {"epochs": 1, "candidates": ["default", "activations"]}}
    job_id = _submit(database, JobSpec.model_validate(TINY | ALONE | changes).model_dump(mode="json"))

    run_one(settings, database, Event())

    assert _job(database, job_id).state == JobState.SUCCEEDED
    with database.read() as tx:
        files = stored_files.of_job(tx, job_id)
        trained = trial_pages.list(tx, job_id, stage="front").items
    assert [trial.config["candidate"] for trial in trained] == ["default", "activations"]
    for sparsity in (0.8, 0.95):
        folder = tmp_path / str(sparsity)
        folder.mkdir()
        for part in ("checkpoint", "config"):
            content = ArtifactStore(settings.artifacts_folder).path(files[f"{part}@{sparsity}"].sha256).read_bytes()
            (folder / RESULT_FILES[part].filename).write_bytes(content)
        assert verify(folder).target == sparsity


def _run_until(
    database: Database, settings: WorkerSettings, run_one: RunOne, job_id: str, then: Callable[[Event], None]
) -> None:
    """Run the job; call ``then`` with the stop event once the start of its first training is in the database."""
    stopping, ended = Event(), Event()

    def watch() -> None:
        while not ended.wait(0.05):
            with database.read() as tx:
                if any(event.kind == "trial_started" for event in events.page(tx, job_id)):
                    then(stopping)
                    return

    watcher = Thread(target=watch)
    watcher.start()
    try:
        run_one(settings, database, stopping)
    finally:
        ended.set()
        watcher.join()


def test_a_job_that_is_cancelled_during_a_training_ends_as_cancelled(
    sqlite_database: Database, settings: WorkerSettings, run_one: RunOne
) -> None:
    job_id = _submit(sqlite_database, ENDLESS)

    def cancel(stopping: Event) -> None:
        with sqlite_database.begin() as tx:
            queue.request_cancel(tx, job_id)

    _run_until(sqlite_database, settings, run_one, job_id, cancel)

    assert _job(sqlite_database, job_id).state is JobState.CANCELLED


@pytest.mark.exhaustive  # tests/chaos/test_leases.py stops a runner that trains in its own process.
def test_a_stopped_runner_returns_its_job_to_the_queue_and_the_attempt_does_not_count(
    sqlite_database: Database, settings: WorkerSettings, run_one: RunOne
) -> None:
    job_id = _submit(sqlite_database, ENDLESS)

    _run_until(sqlite_database, settings, run_one, job_id, lambda stopping: stopping.set())

    job = _job(sqlite_database, job_id)
    assert (job.state, job.attempt) == (JobState.QUEUED, 0)
