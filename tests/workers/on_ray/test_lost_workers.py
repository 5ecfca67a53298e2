"""Trainings on a real Ray whose process is killed, or that raise."""

from collections.abc import Mapping
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import torch

from safs import data
from safs.data import TensorSplit
from safs.events.kinds import Event, Note, Stage, TrialDone, WorkerLost
from safs.execution.executor import Executor, Task
from safs.execution.serial import SerialExecutor
from safs.execution.training import Training
from safs.execution.work import Context
from safs.networks import Blueprint
from safs.search.conductor import Conductor
from safs.spec.data import DataSpec
from safs.spec.training import Recipe
from safs.training.settings import TrainingData
from safs.trials import Candidate, Trial
from tests.scripted import Scripted
from tests.workers.crashing_split import CrashingSplit
from workers.on_ray.executor import RayExecutor

SHORT = Candidate(0, {}, 1, seed=3, horizon=3)
CANDIDATES = [
    SHORT,
    replace(SHORT, number=1, epochs=3, continues=0),
    Candidate(2, {}, 1, seed=5),
]
ONCE, ALWAYS = {5: 1}, {5: 1000}
"""Seed of a training -> number of its first passes that raise."""


def test_a_search_whose_workers_die_and_raise_finds_the_same_as_one_process(
    executor: RayExecutor, tmp_path: Path
) -> None:
    on_ray: list[Event] = []
    in_process: list[Event] = []
    (tmp_path / "ray").mkdir()
    (tmp_path / "serial").mkdir()

    found = _search(executor, _context(tmp_path / "ray", {3: 2}, ONCE), on_ray)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        expected = _search(SerialExecutor(slots=2), _context(tmp_path / "serial", {}, ONCE), in_process)
    finally:
        torch.set_num_threads(threads)

    assert (tmp_path / "ray" / "3-died").exists()
    assert [_without_times(trial) for trial in found] == [_without_times(trial) for trial in expected]
    assert [trial.outcome.error for trial in found] == [None, None, None]
    (lost,) = [event for event in on_ray if isinstance(event, WorkerLost)]
    assert (lost.stage, lost.trial) == (Stage.ACTIVATIONS, 1)
    assert lost.seconds > 0
    assert sorted(event.candidate.number for event in on_ray if isinstance(event, TrialDone)) == [0, 1, 2]
    assert [note for note in _notes(on_ray) if "raised" in note] == _notes(in_process)
    (note,) = [note for note in _notes(on_ray) if "was lost" in note]
    assert "The worker of trial 1 of the stage activations was lost, so it is run again: The actor died" in note


def test_a_training_that_raises_twice_is_an_outcome_in_a_search_and_a_failure_in_a_training(tmp_path: Path) -> None:
    events: list[Event] = []
    executor, context = SerialExecutor(), _context(tmp_path, {}, ALWAYS)

    found = _search(executor, context, events)
    work = Task(CANDIDATES[2], Training({}, Recipe(), 1, 5))
    (trained,) = executor.train(Stage.FINAL, [work], context, events.append, lambda named, trained: None)

    reason = "the trial's process failed: ZeroDivisionError: training 5 divides by zero"
    assert [trial.outcome.error for trial in found] == [None, None, reason]
    assert (trained.network, trained.outcome.error) == (None, reason)
    assert (tmp_path / "5").read_text().count("a pass") == 4
    assert _notes(events)[0] == (
        "Trial 2 of the stage activations is run again, once: it raised ZeroDivisionError: training 5 divides by zero"
    )


def _search(executor: Executor, context: Context, events: list[Event]) -> list[Trial]:
    def plan(candidate: Candidate) -> Training:
        return Training({}, Recipe(), candidate.horizon or candidate.epochs, candidate.seed, until=candidate.epochs)

    conductor = Conductor(Scripted(CANDIDATES), window=1)
    return executor.search(Stage.ACTIVATIONS, conductor, plan, context, events.append, recall=lambda candidate: None)


def _context(folder: Path, dies_in: Mapping[int, int], raises: Mapping[int, int]) -> Context:
    splits = data.load(DataSpec(dataset="digits"), root=None, channels=1, image_size=28, seed=0)
    assert isinstance(splits.train, TensorSplit)
    deadly = CrashingSplit(splits.train, folder, dies_in, raises)
    return Context(Blueprint("lenet5", 1, 28, 10), TrainingData(deadly, splits.validation, 256))


def _without_times(trial: Trial) -> tuple[Any, ...]:
    """Return the trial without its seconds."""
    outcome = trial.outcome
    curve = [astuple(metrics)[:-1] for metrics in outcome.curve]
    return trial.candidate, outcome.loss, outcome.metrics, curve, outcome.error


def _notes(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Note)]
