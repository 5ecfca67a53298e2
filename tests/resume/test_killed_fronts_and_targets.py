"""SIGKILL in the middle of a front, and in a job with a target: the next attempt ends with the same networks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from store.artifacts import stored_files
from store.records import Event, Job, JobState
from store.session import Database
from tests.resume.attempts import Attempt, Attempts, database_url
from tests.resume.test_killed_runner import let_lease_expire, look, started, submit

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive, pytest.mark.timeout(600)]

JOB: dict[str, Any] = {
    "model": {"architecture": "mlp"},
    "data": {"dataset": "digits", "batch_size": 256},
    "train": {"epochs": 1, "learning_rate": 1e-2},
    "prune": {"schedule": "cubic", "distribution": "global", "epochs": 1},
    "joint": {"strategy": "random", "trials": 2, "epochs": 1},
    "final": {"epochs": 1, "candidates": ["default", "joint"]},
}


@pytest.fixture(scope="module")
def attempts() -> Iterator[Attempts]:
    with Attempts(hash_seed=1) as opened:
        yield opened


def checkpoints(home: Path) -> tuple[Job, dict[str, str], list[Event]]:
    """The only job of ``home``, the hashes of its checkpoints, and its events."""
    job, _, told = look(home, "joint")
    database = Database(database_url(home))
    with database.read() as tx:
        files = stored_files.of_job(tx, job.id)
    database.dispose()
    return job, {name: file.sha256 for name, file in files.items() if name.startswith("checkpoint")}, told


def run(
    attempts: Attempts, home: Path, migrated: Path, spec: dict[str, Any], *deaths: tuple[str, int]
) -> tuple[Job, dict[str, str], list[Event]]:
    """Runs a job whose runner dies at each (stage, number of finished trials); returns its ``checkpoints``."""
    submit(home, migrated, spec)
    for stage, trials in deaths:
        attempts.make(Attempt(str(home), dies_at=trials, stage=stage))
        let_lease_expire(home)
    attempts.make(Attempt(str(home)))
    return checkpoints(home)


def test_a_front_whose_runner_is_killed_ends_with_the_same_points(
    attempts: Attempts, tmp_path: Path, migrated_sqlite_file: Path
) -> None:
    spec = JOB | {"sparsity": [0.6, 0.8, 0.95]}

    expected, files, _ = run(attempts, tmp_path / "whole", migrated_sqlite_file, spec)
    job, found, told = run(attempts, tmp_path / "broken", migrated_sqlite_file, spec, ("prune", 2), ("front", 1))

    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 3)
    assert set(found) == {"checkpoint", "checkpoint@0.6", "checkpoint@0.8", "checkpoint@0.95"}
    assert found == files
    assert job.result == expected.result
    assert started(told, "dense") == [0]
    assert started(told, "prune") == [0, 1, 2]
    assert started(told, "front") == [0, 1, 2, 3]


@pytest.mark.parametrize("target", [{"flops": 0.3}, {"latency": 0.9}], ids=["flops", "latency"])
def test_a_job_with_a_target_whose_runner_is_killed_keeps_the_sparsity_that_it_found(
    attempts: Attempts,
    tmp_path: Path,
    migrated_sqlite_file: Path,
    target: dict[str, float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SAFS_TIMINGS", str(tmp_path / "timings"))
    spec = JOB | {"target": target}

    job, found, told = run(attempts, tmp_path / "broken", migrated_sqlite_file, spec, ("prune", 1), ("joint", 1))

    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 3)
    if "flops" in target:  # A latency is measured anew in another job, which then finds another sparsity.
        assert found == run(attempts, tmp_path / "whole", migrated_sqlite_file, spec)[1]
    notes = [event.data["message"] for event in told if event.kind == "note"]
    assert len([note for note in notes if note.startswith("The target")]) == 1
    assert started(told, "prune") == sorted(set(started(told, "prune")))
    assert started(told, "joint") == [0, 1]
