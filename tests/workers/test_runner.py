"""Jobs that fail before or in their first training. No Ray is running."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from safs.errors import DataError
from store import events, jobs, queue, trial_pages, uploads
from store.artifacts import stored_files
from store.artifacts.stored_files import ArtifactStore
from store.errors import DatabaseUnavailable, LeaseLost
from store.records import Job, JobError, JobState
from store.session import Database, Transaction
from tests.pipeline.jobs import TINY
from tests.resume.attempts import SerialRunner
from tests.workers.connections import LostAnswers
from workers import runner as runner_module
from workers.runner import Runner
from workers.settings import WorkerSettings


@pytest.fixture
def settings(tmp_path: Path) -> WorkerSettings:
    (tmp_path / "data").mkdir()
    return WorkerSettings(home=tmp_path)


def run(database: Database, settings: WorkerSettings, spec: dict[str, Any]) -> Job:
    """Submit and run a job; return its final row."""
    with database.begin() as tx:
        job_id = queue.submit(tx, spec).id
    assert Runner(settings, database, Event()).run_one()
    with database.read() as tx:
        assert stored_files.of_job(tx, job_id) == {}
        assert events.page(tx, job_id) == ()
        return jobs.get(tx, job_id)


def test_a_runner_with_an_empty_queue_runs_nothing(database: Database, settings: WorkerSettings) -> None:
    assert not Runner(settings, database, Event()).run_one()


def test_a_stopped_runner_claims_nothing(database: Database, settings: WorkerSettings) -> None:
    stopping = Event()
    stopping.set()
    with database.begin() as tx:
        job = queue.submit(tx, TINY)

    Runner(settings, database, stopping).run_forever()

    with database.read() as tx:
        assert jobs.get(tx, job.id).state is JobState.QUEUED


def test_a_job_whose_data_are_gone_fails_before_its_first_stage_and_stores_nothing(
    database: Database, settings: WorkerSettings
) -> None:
    job = run(database, settings, TINY | {"data": {"dataset": "npz", "path": "gone.npz"}})

    assert job.state is JobState.FAILED
    assert job.error == JobError(
        "data_unavailable", f"data.path 'gone.npz' does not exist under the data root ({settings.data_folder}).", None
    )
    assert (job.stage, job.worker, job.result) == (None, None, None)
    assert job.finished_at is not None


def test_a_job_whose_data_no_longer_fit_its_network_fails_with_the_reason(
    sqlite_database: Database, settings: WorkerSettings
) -> None:
    np.savez(settings.data_folder / "mine.npz", x=np.zeros((40, 2, 28, 28), np.uint8), y=np.arange(40) % 2)

    job = run(sqlite_database, settings, TINY | {"data": {"dataset": "npz", "path": "mine.npz"}})

    assert job.error is not None
    assert job.error.code == "data_unavailable"
    assert "the images have 2 channels" in job.error.message


def test_a_stored_spec_of_another_version_fails_with_its_first_mistake(
    database: Database, settings: WorkerSettings
) -> None:
    job = run(database, settings, TINY | {"colour": "red", "sparsity": 2})

    assert job.state is JobState.FAILED
    assert job.error is not None
    assert (job.error.code, job.error.stage) == ("invalid_spec", None)
    assert job.error.message.startswith("this version cannot run the job's spec: sparsity: Input should be less than 1")


def test_the_runner_goes_on_with_the_next_job_after_one_that_failed(
    sqlite_database: Database, settings: WorkerSettings
) -> None:
    gone = TINY | {"data": {"dataset": "npz", "path": "gone.npz"}}

    states = [run(sqlite_database, settings, gone).state for _ in range(2)]

    assert states == [JobState.FAILED, JobState.FAILED]
    assert not Runner(settings, sqlite_database, Event()).run_one()


def test_a_job_whose_final_commit_looked_like_a_failure_has_ended_and_the_log_says_so(
    database: Database, settings: WorkerSettings, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings.model_copy(update={"poll_s": 0.01})
    caplog.set_level("INFO")
    broken = LostAnswers(database.url.render_as_string(hide_password=False), answers_lost=1, after=3)

    job = run(broken, settings, TINY | {"data": {"dataset": "npz", "path": "gone.npz"}})
    broken.dispose()

    assert broken.answers_lost == 0
    assert (job.state, job.attempt) == (JobState.FAILED, 1)
    assert "its end has to wait" in caplog.text
    assert "failed; the database's answer to the commit was lost" in caplog.text
    assert "given up" not in caplog.text


def test_a_job_that_failed_while_its_runner_slept_is_given_up_and_the_log_says_so(
    sqlite_database: Database,
    settings: WorkerSettings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def sleep(spec: Any) -> None:
        with sqlite_database.begin() as tx:
            tx.execute(text("UPDATE jobs SET lease_expires_at = '2001-01-01T00:00:00.000Z'"))
            assert queue.claim(tx, "another", 60) is None
        raise LeaseLost("the lease is no longer ours")

    monkeypatch.setattr(runner_module, "stored_spec", sleep)
    with sqlite_database.begin() as tx:
        job_id = queue.submit(tx, TINY, max_attempts=1).id

    Runner(settings, sqlite_database, Event()).run_one()

    with sqlite_database.read() as tx:
        assert jobs.get(tx, job_id).state is JobState.FAILED
    assert "given up: the lease is no longer ours" in caplog.text


def test_a_job_whose_end_cannot_be_written_is_failed_once_the_database_is_back(
    sqlite_database: Database, settings: WorkerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings.model_copy(update={"poll_s": 0.01})
    finish, refusals = queue.finish, iter((True, True, False))

    def sometimes(*given: Any, **named: Any) -> Job:
        if next(refusals):
            raise DatabaseUnavailable("it restarts")
        return finish(*given, **named)

    monkeypatch.setattr(queue, "finish", sometimes)

    job = run(sqlite_database, settings, TINY | {"data": {"dataset": "npz", "path": "gone.npz"}})

    assert (job.state, job.attempt) == (JobState.FAILED, 1)


class ReadsFail(Database):
    """A database whose first reads fail."""

    def __init__(self, url: str, times: int) -> None:
        super().__init__(url)
        self.times = times

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        if self.times > 0:
            self.times -= 1
            raise DatabaseUnavailable("it restarts")
        with super().read() as tx:
            yield tx


def test_a_job_waits_for_its_weights_while_the_database_is_away(
    sqlite_database: Database, settings: WorkerSettings
) -> None:
    settings = settings.model_copy(update={"poll_s": 0.01})
    stored = ArtifactStore(settings.artifacts_folder).put(io.BytesIO(b"weights"))
    with sqlite_database.begin() as tx:
        upload = uploads.create(tx, stored, "dense.safetensors", tensors=1)
        spec = TINY | {"model": {"architecture": "lenet5", "weights": upload.id}}
        job_id = queue.submit(tx, spec | {"data": {"dataset": "npz", "path": "gone.npz"}}).id
    away = ReadsFail(sqlite_database.url.render_as_string(hide_password=False), times=2)

    SerialRunner(settings, away, Event()).run_one()
    away.dispose()

    with sqlite_database.read() as tx:
        error = jobs.get(tx, job_id).error
    assert away.times == 0
    assert error is not None
    assert error.code == "data_unavailable", error.message


@pytest.mark.parametrize("text", ["NUL: \0", "half a character: \udcff"])
def test_a_reason_with_characters_that_no_database_can_hold_is_stored_without_them(
    database: Database, settings: WorkerSettings, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    def broken(spec: Any) -> None:
        raise DataError(text)

    monkeypatch.setattr(runner_module, "stored_spec", broken)

    job = run(database, settings, TINY)

    assert job.error is not None
    assert job.error.message.startswith(text.split(":")[0])
    assert json.dumps(job.error.message, ensure_ascii=False).encode().isascii()


def test_a_failed_job_has_its_reason_and_stage_and_keeps_its_trials(
    sqlite_database: Database, settings: WorkerSettings
) -> None:
    too_fast = {"epochs": 2, "optimizer": "sgd", "learning_rate": 100.0, "momentum": 0.99}
    with sqlite_database.begin() as tx:
        job_id = queue.submit(tx, TINY | {"train": too_fast}).id

    SerialRunner(settings, sqlite_database, Event()).run_one()

    with sqlite_database.read() as tx:
        job = jobs.get(tx, job_id)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert (job.error.code, job.error.stage) == ("training_failed", "dense")
    assert "not finite" in job.error.message
    assert "train.learning_rate" in job.error.message
    with sqlite_database.read() as tx:
        kept = trial_pages.list(tx, job_id).items
    assert [(trial.stage, trial.outcome is not None and trial.outcome.error is not None) for trial in kept] == [
        ("dense", True)
    ]
