"""SIGKILL in the middle of a search, for every strategy: the next attempt resumes as if nothing had happened."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from sqlalchemy import text
from torch import nn

import safs
from safs.search import STRATEGIES
from safs.trials import Trial
from store import events, jobs, queue, trials, uploads
from store.artifacts.stored_files import ArtifactStore
from store.records import Event, Job, JobState
from store.session import Database
from tests.resume.attempts import Attempt, Attempts, database_url
from workers.trial_records import restored_trial

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TRIALS = 6
DEATHS = ((2, False), (5, True))
"""(number of finished trials at which an attempt dies, True if it dies before they are committed)."""
SEVERAL_IN_FLIGHT = ("lahc", "smac", "asha")
"""Strategies whose proposals depend on a state, on a model, and on promotions."""
USUAL = {("lahc", 1), ("asha", 1), ("smac", 3)}
"""(strategy, trials in flight) of ``make test``: one of each kind, and one with several trials in flight.

``tests/search/test_resume.py`` replays all strategies in one process."""
STAGES = {"activations": "activations", "tune": "tune_alone", "joint": "joint"}
CANDIDATES = {"activations": "activations", "tune_alone": "hyperparameters", "joint": "joint"}
"""Stage of a search -> the final candidate that requires it."""

Run = tuple[Job, dict[int, Trial], list[Event]]
"""The job, the trials of its search without their times, and its events."""


@pytest.fixture(scope="module")
def one() -> Iterator[Attempts]:
    with Attempts(hash_seed=1) as attempts:
        yield attempts


@pytest.fixture(scope="module")
def another() -> Iterator[Attempts]:
    """Attempts in which sets of strings have another order."""
    with Attempts(hash_seed=2) as attempts:
        yield attempts


def job_of(strategy: str) -> tuple[str, dict[str, Any]]:
    """The stage that the strategy searches, and the spec of a tiny job with it."""
    entry = STRATEGIES[strategy]
    section = entry.stages[0]
    stage = STAGES[section]
    # A multi-fidelity strategy needs several epochs a trial.
    search = {"strategy": strategy, "trials": TRIALS, "epochs": 3 if entry.multi_fidelity else 1}
    return stage, {
        "model": {"architecture": "mlp"},
        "data": {"dataset": "digits", "batch_size": 256},
        "sparsity": 0.9,
        "train": {"epochs": 1, "learning_rate": 1e-2},
        "prune": {"schedule": "one_shot", "distribution": "global"},
        section: search,
        "final": {"epochs": 1, "candidates": ["default", CANDIDATES[stage]]},
    }


def submit(home: Path, migrated: Path, spec: dict[str, Any], network: Path | None = None) -> None:
    """Queue the job in a database of its own, on the upload ``network`` if it is given."""
    home.mkdir()
    shutil.copy(migrated, home / "safs.db")
    database = Database(database_url(home))
    with database.begin() as tx:
        if network is not None:
            stored = ArtifactStore(home / "artifacts").put(network)
            spec = spec | {"model": {"network": uploads.create(tx, stored, network.name, tensors=4).id}}
        queue.submit(tx, spec, max_attempts=len(DEATHS) + 1)
    database.dispose()


def let_lease_expire(home: Path) -> None:
    """Set the expiry of the lease to a time in the past."""
    database = Database(database_url(home))
    with database.begin() as tx:
        tx.execute(text("UPDATE jobs SET lease_expires_at = '2001-01-01T00:00:00.000Z'"))
    database.dispose()


def look(home: Path, stage: str) -> Run:
    """Read the only job of ``home``."""
    database = Database(database_url(home))
    with database.read() as tx:
        (job,) = jobs.list(tx).items
        found = [restored_trial(finished) for finished in trials.finished(tx, job.id, stage)]
        told = list(events.page(tx, job.id, limit=10_000))
    database.dispose()
    return job, {trial.candidate.number: timeless(trial) for trial in found}, told


def timeless(trial: Trial) -> Trial:
    outcome = trial.outcome
    curve = tuple(replace(metrics, seconds=0.0) for metrics in outcome.curve)
    return replace(trial, outcome=replace(outcome, seconds=0.0, curve=curve))


def started(told: list[Event], stage: str) -> list[int]:
    """The numbers of the stage's trials in the order in which they began."""
    begun = [event.data for event in told if event.kind == "trial_started"]
    return [data["candidate"]["number"] for data in begun if data["stage"] == stage]


@pytest.mark.parametrize(
    ("strategy", "slots"),
    [
        pytest.param(name, slots, marks=() if (name, slots) in USUAL else pytest.mark.exhaustive)
        for slots, names in ((1, STRATEGIES), (3, SEVERAL_IN_FLIGHT))
        for name in names
    ],
)
def test_a_search_whose_runner_is_killed_resumes_as_if_nothing_had_happened(
    strategy: str, slots: int, one: Attempts, another: Attempts, tmp_path: Path, migrated_sqlite_file: Path
) -> None:
    stage, spec = job_of(strategy)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for home in (whole, broken):
        submit(home, migrated_sqlite_file, spec)
    one.make(Attempt(str(whole), slots))
    expected, expected_trials, _ = look(whole, stage)

    for dies_at, torn in DEATHS:
        # The number of trials in flight stays that of the first attempt, whatever a later machine would choose.
        one.make(Attempt(str(broken), slots if dies_at == DEATHS[0][0] else 7, dies_at, torn=torn))
        _, finished, told = look(broken, stage)
        assert len(finished) >= dies_at - torn
        assert finished.items() <= expected_trials.items()
        let_lease_expire(broken)
        before = len(told), set(finished)
        one, another = another, one
    one.make(Attempt(str(broken), slots))

    job, found, told = look(broken, stage)
    assert (job.state, job.attempt, job.error) == (JobState.SUCCEEDED, 3, None)
    assert found == expected_trials
    assert job.result == expected.result
    assert not before[1] & set(started(told[before[0] :], stage)), "a finished trial was run again"
    assert started(told, "dense") == started(told, "prune") == [0], "an earlier stage was run again"
    assert not [event for event in told if "resumed exactly" in event.data.get("message", "")]


@pytest.mark.exhaustive  # The search resumes as that of a named network does.
def test_a_job_on_an_own_network_resumes_on_the_same_graph(
    one: Attempts, tmp_path: Path, migrated_sqlite_file: Path
) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    network = safs.capture(module, (1, 8)).save(tmp_path / "network.safetensors")
    stage, spec = job_of("lahc")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for home in (whole, broken):
        submit(home, migrated_sqlite_file, spec, network)
    one.make(Attempt(str(whole)))
    expected, expected_trials, _ = look(whole, stage)

    one.make(Attempt(str(broken), dies_at=3))
    let_lease_expire(broken)
    _, before, told = look(broken, stage)
    one.make(Attempt(str(broken)))

    job, found, all_told = look(broken, stage)
    assert (job.state, job.attempt, job.error) == (JobState.SUCCEEDED, 2, None)
    assert found == expected_trials
    assert job.result == expected.result
    assert not set(before) & set(started(all_told[len(told) :], stage)), "a finished trial was run again"
    assert started(all_told, "prune") == [0], "an earlier stage was run again"
