"""kill -9 in the middle of a search, for every strategy: the next attempt goes on as if nothing had happened."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from safs.search import STRATEGIES
from safs.trials import Trial
from store import events, jobs, queue, trials
from store.records import Event, Job, JobState
from store.session import Database
from tests.resume.attempts import Attempt, Attempts, database_url
from workers.trial_records import restored_trial

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TRIALS = 6
DEATHS = ((2, False), (5, True))
"""Finished trials in the database when an attempt dies, and whether it dies before they are committed."""
SEVERAL_IN_FLIGHT = ("lahc", "smac", "asha")
"""One whose proposals depend on a state, one on a model, one on promotions."""
USUAL = {("lahc", 1), ("asha", 1), ("tpe", 1), ("smac", 3)}
"""Runs of ``make test``: one of each kind, and one with several in flight. In process, all are replayed in
``tests/search/test_resume.py``."""
STAGES = {"activations": "activations", "tune": "tune_alone", "joint": "joint"}
CANDIDATES = {"activations": "activations", "tune_alone": "hyperparameters", "joint": "joint"}
"""Stage of a search -> the final candidate that asks for it."""

Run = tuple[Job, dict[int, Trial], list[Event]]
"""The job, its search's trials without the times they took, and its events."""


@pytest.fixture(scope="module")
def one() -> Iterator[Attempts]:
    with Attempts(hash_seed=1) as attempts:
        yield attempts


@pytest.fixture(scope="module")
def another() -> Iterator[Attempts]:
    """Processes in which sets of strings have another order."""
    with Attempts(hash_seed=2) as attempts:
        yield attempts


def job_of(strategy: str) -> tuple[str, dict[str, Any]]:
    """The stage that the strategy searches, and a tiny job with it."""
    entry = STRATEGIES[strategy]
    section = entry.stages[0]
    stage = STAGES[section]
    # A strategy that stops trials early needs epochs to stop them at.
    search = {"strategy": strategy, "trials": TRIALS, "epochs": 3 if entry.multi_fidelity else 1}
    return stage, {
        "model": {"architecture": "mlp"},
        "data": {"dataset": "digits", "batch_size": 256},
        "sparsity": 0.9,
        "train": {"epochs": 1, "learning_rate": 1e-2},
        section: search,
        "final": {"epochs": 1, "candidates": ["default", CANDIDATES[stage]]},
    }


def submit(home: Path, migrated: Path, spec: dict[str, Any]) -> None:
    home.mkdir()
    shutil.copy(migrated, home / "safs.db")
    database = Database(database_url(home))
    with database.begin() as tx:
        queue.submit(tx, spec, max_attempts=len(DEATHS) + 1)
    database.dispose()


def let_lease_expire(home: Path) -> None:
    """As if so much time had passed."""
    database = Database(database_url(home))
    with database.begin() as tx:
        tx.execute(text("UPDATE jobs SET lease_expires_at = '2001-01-01T00:00:00.000Z'"))
    database.dispose()


def look(home: Path, stage: str) -> Run:
    """What the one job of ``home`` has come to."""
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
    """Numbers of the stage's trials that were begun, in order."""
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
def test_a_search_whose_runner_is_killed_goes_on_as_if_nothing_had_happened(
    strategy: str, slots: int, one: Attempts, another: Attempts, tmp_path: Path, migrated_sqlite_file: Path
) -> None:
    stage, spec = job_of(strategy)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for home in (whole, broken):
        submit(home, migrated_sqlite_file, spec)
    one.make(Attempt(str(whole), slots))
    expected, expected_trials, _ = look(whole, stage)

    for dies_at, torn in DEATHS:
        # The number in flight is the first attempt's, whatever the machine of a later one would choose.
        one.make(Attempt(str(broken), slots if dies_at == DEATHS[0][0] else 7, dies_at, torn))
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
