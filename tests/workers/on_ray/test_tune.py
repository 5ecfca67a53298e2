"""Searches as Ray Tune runs find the same trials as the pool of actors."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from safs import data
from safs.data import TensorSplit
from safs.errors import Cancelled
from safs.events.kinds import Event, Note, Stage, TrialDone, WorkerLost
from safs.execution.executor import Executor
from safs.execution.training import Training
from safs.execution.work import Context
from safs.networks import Blueprint
from safs.search.conductor import Conductor
from safs.spec.data import DataSpec
from safs.spec.training import Recipe
from safs.training.settings import TrainingData
from safs.trials import Candidate, Trial
from tests.scripted import Scripted
from tests.workers.conftest import SharedExecutor
from tests.workers.crashing_split import CrashingSplit
from workers.on_ray.allocation import executor_of
from workers.on_ray.capacity import Share
from workers.on_ray.executor import RayExecutor

ALONE = Share(slots=2, workers=1, cpus=1, gpus=0.0)
TWO = Share(slots=2, workers=2, cpus=1, gpus=0.0)
SHORT = Candidate(0, {"operator": "relu"}, 1, seed=3, horizon=3)
CANDIDATES = [
    SHORT,
    Candidate(1, {"operator": "swish"}, 1, seed=5),
    Candidate(2, {"operator": "no such operator"}, 1, seed=6),
    replace(SHORT, number=3, epochs=3, continues=0),
]


def search(executor: Executor, context: Context, report: Any) -> list[Trial]:
    def plan(candidate: Candidate) -> Training:
        operators = {"relu1": str(candidate.config["operator"])}
        epochs = candidate.horizon or candidate.epochs
        return Training(operators, Recipe(), epochs, candidate.seed, until=candidate.epochs, leaves=True)

    conductor = Conductor(Scripted(CANDIDATES), window=2)
    return executor.search(Stage.ACTIVATIONS, conductor, plan, context, report, recall=lambda candidate: None)


def context(folder: Path, dies_in: dict[int, int], raises: dict[int, int]) -> Context:
    splits = data.load(DataSpec(dataset="digits"), root=None, channels=1, image_size=28, seed=0)
    assert isinstance(splits.train, TensorSplit)
    folder.mkdir()
    split = CrashingSplit(splits.train, folder, dies_in, raises)
    return Context(Blueprint("lenet5", 1, 28, 10), TrainingData(split, splits.validation, 256))


def without_times(trial: Trial) -> Trial:
    curve = tuple(replace(metrics, seconds=0.0) for metrics in trial.outcome.curve)
    return Trial(trial.candidate, replace(trial.outcome, seconds=0.0, curve=curve))


UNDISTURBED: dict[int, int] = {}


@pytest.mark.parametrize(
    ("share", "dies_in", "raises"),
    [
        pytest.param(ALONE, UNDISTURBED, UNDISTURBED, id="undisturbed"),
        pytest.param(TWO, {3: 1}, {5: 1}, id="where workers die and trials raise", marks=pytest.mark.exhaustive),
    ],
)
def test_tune_finds_the_same_trials_as_the_actors(
    share: Share,
    dies_in: dict[int, int],
    raises: dict[int, int],
    executor: RayExecutor,
    shared_executor: SharedExecutor,
    tmp_path: Path,
) -> None:
    found: dict[str, list[Trial]] = {}
    events: dict[str, list[Event]] = {"actors": [], "tune": []}

    found["actors"] = search(executor, context(tmp_path / "actors", dies_in, raises), events["actors"].append)
    shared_executor.close()
    with executor_of("tune", share) as on_tune:
        found["tune"] = search(on_tune, context(tmp_path / "tune", dies_in, raises), events["tune"].append)

    first, second = (list(map(without_times, found[name])) for name in ("actors", "tune"))
    assert second == first
    assert [trial.outcome.error is None for trial in second] == [True, True, False, True]
    for name in ("actors", "tune"):
        reported = events[name]
        assert sorted(event.candidate.number for event in reported if isinstance(event, TrialDone)) == [0, 1, 2, 3]
        assert len([event for event in reported if isinstance(event, WorkerLost)]) == len(dies_in)
    notes = [
        sorted(event.message for event in events[name] if isinstance(event, Note) and "it raised" in event.message)
        for name in ("actors", "tune")
    ]
    assert notes[0] == notes[1]
    assert len(notes[0]) == 1 + len(raises)


@pytest.mark.exhaustive  # test_cancelling.py cancels a search on the pool.
@pytest.mark.usefixtures("local_ray")
def test_a_search_by_tune_that_is_cancelled_ends(tmp_path: Path) -> None:
    def cancel(event: Event) -> None:
        if isinstance(event, TrialDone):
            raise Cancelled("cancelled by the user")

    with executor_of("tune", ALONE) as executor, pytest.raises(Cancelled):
        search(executor, context(tmp_path / "data", {}, {}), cancel)
