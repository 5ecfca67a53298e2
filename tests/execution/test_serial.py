"""Searches in a plain process: snapshots that longer trials continue from, and trials that are stopped early."""

from dataclasses import astuple, replace
from itertools import count
from types import SimpleNamespace

import pytest
import torch

from safs import data
from safs.data import TensorSplit
from safs.events.kinds import EpochDone, Event, Note, Stage, TrialDone
from safs.execution import runs, serial, stacked, work
from safs.execution.serial import SerialExecutor
from safs.execution.snapshot_cache import SnapshotCache
from safs.execution.training import Training, TrainingRun
from safs.execution.work import Context
from safs.networks import Blueprint
from safs.search.asha import Asha
from safs.search.conductor import Conductor
from safs.spec.data import DataSpec
from safs.spec.halving import HalvingOptions
from safs.spec.training import Recipe
from safs.training.settings import TrainingData
from safs.training.stacked.stack import NotStackable
from safs.trials import Candidate, Outcome, Trial, best_trial
from search_spaces import SPACES
from tests.scripted import Scripted

ONE_CYCLE = Recipe(learning_rate=1e-2, schedule="one_cycle")


@pytest.fixture(scope="module")
def context() -> Context:
    splits = data.load(DataSpec(dataset="digits"), root=None, channels=1, image_size=28, seed=0)
    train, validation = splits.train, splits.validation
    assert isinstance(train, TensorSplit)
    assert isinstance(validation, TensorSplit)
    return Context(
        Blueprint("lenet5", 1, 28, 10),
        TrainingData(
            replace(train, images=train.images[:256], labels=train.labels[:256]),
            replace(validation, images=validation.images[:80], labels=validation.labels[:80]),
            batch_size=64,
        ),
    )


def with_batches_of(images: int, context: Context) -> Context:
    return replace(context, data=replace(context.data, batch_size=images))


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def plan(candidate: Candidate) -> Training:
    span = candidate.horizon or candidate.epochs
    assignment = {site: str(operator) for site, operator in candidate.config.items()}
    return Training(assignment, ONE_CYCLE, span, candidate.seed, until=candidate.epochs, leaves=True)


def search(strategy, context: Context, recall=lambda candidate: None, plan=plan) -> tuple[list[Trial], list[Event]]:
    events: list[Event] = []
    executor = SerialExecutor()
    trials = executor.search(Stage.ACTIVATIONS, Conductor(strategy, 1), plan, context, events.append, recall)
    return trials, events


def numbers(outcome: Outcome) -> tuple[object, ...]:
    """The parts of a trial that do not depend on the clock."""
    return outcome.loss, outcome.metrics, [astuple(epoch)[:-1] for epoch in outcome.curve], outcome.left


def search_in_stacks(strategy, context: Context, stack: int, plan=plan) -> tuple[list[Trial], list[Event]]:
    events: list[Event] = []
    executor = SerialExecutor(stack=stack)
    conductor = Conductor(strategy, stack)
    trials = executor.search(Stage.ACTIVATIONS, conductor, plan, context, events.append, lambda candidate: None)
    return trials, events


def epochs_of(events: list[Event], number: int) -> list[int]:
    return [event.metrics.epoch for event in events if isinstance(event, EpochDone) and event.trial == number]


def test_a_promoted_trial_is_the_uninterrupted_one_and_trains_its_own_epochs_alone(context, monkeypatch):
    monkeypatch.setattr(work, "time", SimpleNamespace(perf_counter=count().__next__))  # The same ticks for each epoch.
    short = Candidate(0, {"relu1": "swish"}, 1, seed=3, horizon=4)
    middle, long = (replace(short, number=n, epochs=e, continues=n - 1) for n, e in ((1, 2), (2, 4)))
    whole = replace(short, number=3, epochs=4)

    trials, events = search(Scripted([short, middle, long, whole]), context)

    outcomes = [trial.outcome for trial in trials]
    assert numbers(outcomes[2]) == numbers(outcomes[3])
    assert [len(outcome.curve) for outcome in outcomes] == [1, 2, 4, 4]
    assert [epochs_of(events, number) for number in range(4)] == [[1], [2], [3, 4], [1, 2, 3, 4]]
    assert outcomes[2].seconds == outcomes[3].seconds / 2 > 0


def test_without_the_snapshot_a_promoted_trial_trains_from_the_start_to_the_same_outcome(context):
    short = Candidate(0, {}, 1, seed=3, horizon=3)
    promoted = replace(short, number=1, epochs=3, continues=0)
    found, _ = search(Scripted([short, promoted]), context)

    # The short trial is an earlier attempt's, whose snapshot is lost.
    known = {0: found[0].outcome}
    again, events = search(Scripted([short, promoted]), context, recall=lambda candidate: known.get(candidate.number))

    assert numbers(again[1].outcome) == numbers(found[1].outcome)
    assert epochs_of(events, 1) == [1, 2, 3]
    assert [event.recalled for event in events if isinstance(event, TrialDone)] == ["an earlier attempt", None]


def constant(candidate: Candidate) -> Training:
    """A network that learns nothing: the order of its logits never changes."""
    return replace(plan(candidate), recipe=Recipe(optimizer="sgd", learning_rate=1e-30), leaves=candidate.number != 1)


@pytest.fixture
def dead(context) -> Context:
    """A network that predicts the same class for every image."""
    state = {name: value.clone() for name, value in context.blueprint.build(0).state_dict().items()}
    last = [name for name in state if name.endswith("weight")][-1]
    state[last].zero_()
    return with_batches_of(4, replace(context, start=state))  # 64 steps an epoch


def test_a_trial_is_not_left_before_it_has_had_its_first_hundred_steps(dead):
    (trial,), _ = search(Scripted([Candidate(0, {}, 5, seed=0)]), with_batches_of(8, dead), plan=constant)

    assert trial.outcome.left == "predicts one class only after 4 epochs"  # of 32 steps


def test_a_trial_that_predicts_one_class_twice_in_a_row_is_left_and_a_finalist_never(dead):
    trials, _ = search(
        Scripted([Candidate(0, {}, 5, seed=0), Candidate(1, {}, 5, seed=0), Candidate(2, {}, 2, seed=0)]),
        dead,
        plan=constant,
    )

    left, finalist, short = (trial.outcome for trial in trials)
    assert left.left == "predicts one class only after 2 epochs"
    assert left.error is None
    assert left.loss == finalist.loss == 1 - left.metrics["accuracy"] < 1
    assert [len(outcome.curve) for outcome in (left, finalist, short)] == [2, 5, 2]
    assert finalist.left is None
    assert short.left is None  # The trial trained all its epochs.


def test_a_trial_that_could_go_on_and_predicts_one_class_says_so_and_leaves_nothing(dead):
    run = TrainingRun(dead, constant(Candidate(0, {}, 2, seed=0, horizon=6)), "cpu")
    run.advance(60)

    assert run.outcome().left == "predicts one class only after 2 epochs"
    assert run.snapshot() is None


def test_a_training_that_raises_is_run_again_once_and_what_it_raises_then_is_its_outcome(context, monkeypatch):
    begun: list[int] = []

    def begin(context, work, device, resume):
        begun.append(work.seed)
        if work.seed == 2 or (work.seed == 1 and begun.count(1) == 1):
            raise OSError("caf\udce9.png is damaged")
        return runs.begin(context, work, device, resume)

    monkeypatch.setattr(serial, "begin", begin)

    trials, events = search(Scripted([Candidate(number, {}, 1, seed=number) for number in range(3)]), context)

    assert begun == [0, 1, 1, 2, 2]
    assert [trial.outcome.error for trial in trials] == [
        None,
        None,
        r"the trial's process failed: OSError: caf\udce9.png is damaged",
    ]
    notes = [event.message for event in events if isinstance(event, Note)]
    assert notes == [
        rf"Trial {number} of the stage activations is run again, once: it raised OSError: caf\udce9.png is damaged"
        for number in (1, 2)
    ]


def test_a_full_snapshot_cache_evicts_the_worst_trials():
    snapshots: SnapshotCache[str] = SnapshotCache(limit_bytes=10)
    for number, loss in enumerate((0.5, 0.9, 0.7)):
        snapshots.put(Trial(Candidate(number, {}, 1, 0), Outcome(loss)), f"of {number}", 5)

    def taken(number: int) -> str | None:
        return snapshots.take(Candidate(9, {}, 3, 0, continues=number))

    assert [taken(0), taken(1), taken(2), taken(2)] == ["of 0", None, "of 2", None]


def test_an_asha_search_trains_few_operators_to_the_end_and_finds_a_good_one(context):
    space = SPACES.activations({"relu1": "relu", "relu2": "relu", "relu3": "relu"}, ["relu", "swish", "symexp"], 0)
    strategy = Asha(space, trials=6, epochs=4, seed=0, options=HalvingOptions(min_epochs=1))

    trials, events = search(strategy, context)

    trained = sum(isinstance(event, EpochDone) for event in events)
    lengths = [trial.candidate.epochs for trial in trials]
    assert lengths.count(1) == 6
    assert 1 <= lengths.count(4) <= 3
    assert trained == 6 + 3 * lengths.count(4) < 6 * 4
    assert all(len(trial.outcome.curve) == trial.candidate.epochs for trial in trials)
    best = best_trial(trials)
    assert best.outcome.metrics["accuracy"] > 0.3
    assert best.candidate.epochs == 4


def test_promoted_trials_of_a_stack_continue_from_their_slices(context: Context) -> None:
    operators = ["tanh", "swish", "gelu", "elu"]
    short = [Candidate(number, {"relu1": name}, 1, seed=0, horizon=2) for number, name in enumerate(operators)]
    long = [replace(short[number], number=4 + place, epochs=2, continues=number) for place, number in enumerate((3, 1))]

    trials, events = search_in_stacks(Scripted([*short, *long], in_flight=4), context, stack=4)

    assert [epochs_of(events, number) for number in range(6)] == [[1], [1], [1], [1], [2], [2]]
    for trial, number in ((trials[4], 3), (trials[5], 1)):
        (alone,), _ = search(Scripted([replace(short[number], number=0, epochs=2)]), context)
        expected = [pytest.approx(metrics.validation_loss, rel=2e-3) for metrics in alone.outcome.curve]
        assert [metrics.validation_loss for metrics in trial.outcome.curve] == expected


def test_trials_of_a_network_that_cannot_be_stacked_run_alone_and_a_note_says_why(
    context: Context, monkeypatch
) -> None:
    def refuse(*_: object) -> None:
        raise NotStackable("no stack today")

    monkeypatch.setattr(stacked, "check_outputs", refuse)
    candidates = [Candidate(number, {"relu1": name}, 1, seed=0) for number, name in enumerate(("tanh", "swish"))]

    trials, events = search_in_stacks(Scripted(candidates, in_flight=2), context, stack=2)
    alone, _ = search(Scripted(candidates), context)

    assert [numbers(trial.outcome) for trial in trials] == [numbers(trial.outcome) for trial in alone]
    notes = [event.message for event in events if isinstance(event, Note)]
    assert notes == ["The trials of activations are not trained as one: no stack today"]
