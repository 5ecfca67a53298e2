"""Runs of several trainings as one: the same outcomes as alone, wherever they can be stacked or not."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from safs import data
from safs.activations.surgery import find_sites
from safs.data import TensorSplit
from safs.execution import stacked
from safs.execution.stacked import StackedRun, groups_of
from safs.execution.training import LEFT_AFTER, Training, TrainingRun
from safs.execution.work import Context
from safs.networks import Blueprint
from safs.spec.data import DataSpec
from safs.spec.training import Recipe
from safs.training.settings import TrainingData
from safs.training.snapshot import Snapshot
from safs.trials import EpochMetrics, Outcome
from tests.pruning.magnitude import magnitude_masks
from tests.simulated_device import DEVICE, simulated_device
from tests.training.stacked.test_captured import RefusingRecorder

MLP = Blueprint("mlp", 1, 8, 10)
ONE_IMAGE = 1.01 / 60
"""A rounding error may change the class of an image that lies on the border of two."""
SITES = ("hidden.0.relu", "hidden.1.relu", "hidden.2.relu")


@pytest.fixture(scope="module")
def context() -> Context:
    splits = data.load(DataSpec(dataset="digits"), root=None, channels=1, image_size=8, seed=0)
    train, validation = splits.train, splits.validation
    assert isinstance(train, TensorSplit)
    assert isinstance(validation, TensorSplit)
    model = MLP.build(0)
    return Context(
        MLP,
        TrainingData(
            replace(train, images=train.images[:128], labels=train.labels[:128]),
            replace(validation, images=validation.images[:60], labels=validation.labels[:60]),
            batch_size=32,
        ),
        {name: value.clone() for name, value in model.state_dict().items()},
        magnitude_masks(model, 0.8),
    )


def trainings(**settings: object) -> list[Training]:
    recipes = [
        Recipe(optimizer=name, learning_rate=3e-3, schedule="cosine") for name in ("sgd", "adam", "sgd", "nadam")
    ]
    operators = ["tanh", "swish", "acon", "symlog"]
    given: dict[str, Any] = {"epochs": 2, "seed": 0, "learnable": True} | settings
    return [
        Training(dict.fromkeys(SITES, name), recipe, **given) for name, recipe in zip(operators, recipes, strict=True)
    ]


def finished(run: StackedRun) -> list[tuple[int, EpochMetrics]]:
    done = []
    while not run.finished:
        done += run.advance(at_least_s=0.0)
    return done


def alone(context: Context, training: Training, resume: Snapshot | None = None) -> Outcome:
    run = TrainingRun(context, training, "cpu", resume)
    while not run.finished:
        run.advance(60.0)
    return run.outcome()


def assert_same(outcome: Outcome, expected: Outcome) -> None:
    assert (outcome.error, outcome.left) == (expected.error, expected.left)
    theirs = [pytest.approx(losses(one), rel=2e-3, abs=1e-4) for one in expected.curve]
    assert [losses(one) for one in outcome.curve] == theirs
    assert outcome.loss == pytest.approx(expected.loss, abs=ONE_IMAGE)


def losses(metrics: EpochMetrics) -> tuple[float, ...]:
    return metrics.epoch, metrics.train_loss, metrics.validation_loss, metrics.learning_rate


def outcomes(run: StackedRun, count: int) -> Sequence[Outcome]:
    return [run.outcome(position) for position in range(count)]


def test_trainings_as_one_have_the_outcomes_that_they_have_alone(context: Context) -> None:
    given = trainings()
    began = time.perf_counter()
    run = StackedRun(context, given, "cpu")

    done = finished(run)

    assert run.reason is None
    assert 0 < sum(outcome.seconds for outcome in outcomes(run, 4)) <= time.perf_counter() - began
    assert sorted((position, metrics.epoch) for position, metrics in done) == [(p, e) for p in range(4) for e in (1, 2)]
    for outcome, training in zip(outcomes(run, 4), given, strict=True):
        assert_same(outcome, alone(context, training))


def test_promoted_trainings_continue_from_their_slices(context: Context) -> None:
    short, long = trainings(until=1), trainings()
    first = StackedRun(context, short, "cpu")
    finished(first)
    snapshots = [first.snapshot(position) for position in range(4)]
    assert all(snapshot is not None for snapshot in snapshots)

    rest = StackedRun(context, [long[3], long[0]], "cpu", [snapshots[3], snapshots[0]])
    done = finished(rest)

    assert {metrics.epoch for _, metrics in done} == {2}
    assert_same(rest.outcome(0), alone(context, long[3]))
    assert_same(rest.outcome(1), alone(context, long[0]))


def test_only_trainings_with_one_seed_and_length_are_a_stack() -> None:
    one = Training({"a": "relu"}, Recipe(optimizer="sgd"), 4, seed=0)
    adam, tanh = replace(one, recipe=Recipe(optimizer="adam")), replace(one, assignment={"a": "identity"})
    given = [one, replace(one, seed=1), adam, replace(one, until=2), tanh, replace(one, epochs=5)]

    assert groups_of(given, [None] * 6) == [[2, 4, 0], [1], [3], [5]]


def test_a_network_that_cannot_be_stacked_is_trained_alone_and_says_why(context: Context, monkeypatch) -> None:
    from safs.training.stacked.stack import NotStackable

    def refuse(*_: object) -> None:
        raise NotStackable("no stack today")

    monkeypatch.setattr(stacked, "check_outputs", refuse)
    given = trainings()
    run = StackedRun(context, given, "cpu")

    finished(run)

    assert run.reason is not None
    assert "no stack today" in run.reason
    for outcome, training in zip(outcomes(run, 4), given, strict=True):
        assert_same(outcome, alone(context, training))


def test_a_training_that_predicts_one_class_leaves_and_a_diverged_one_ends(context: Context, monkeypatch) -> None:
    monkeypatch.setattr("safs.execution.training.LEFT_AFTER_STEPS", 1)
    still = Recipe(optimizer="sgd", learning_rate=1e-6)
    wild = Recipe(optimizer="sgd", learning_rate=100.0, momentum=0.99)
    given = [
        Training(dict.fromkeys(SITES, operator), recipe, LEFT_AFTER + 2, 0, leaves=True)
        for operator, recipe in (("symlog", Recipe(learning_rate=3e-3)), ("relu", still), ("symexp", wild))
    ]
    assert context.start is not None
    dull = replace(context, start=context.start | {"classifier.bias": torch.eye(10)[0] * 100}, masks=None)
    run = StackedRun(dull, given, "cpu")

    finished(run)

    left, error = run.outcome(1).left, run.outcome(2).error
    assert left is not None
    assert "one class" in left
    assert error is not None
    assert "diverged" in error
    for position in (0, 1):
        assert_same(run.outcome(position), alone(dull, given[position]))


def test_a_stack_that_runs_out_of_memory_is_halved(context: Context, monkeypatch) -> None:
    sizes = []
    session = stacked.StackedSession

    def small_device(models: Sequence[object], *args: object, **kwargs: object) -> object:
        sizes.append(len(models))
        if len(models) > 2:
            raise torch.OutOfMemoryError("no more memory")
        return session(models, *args, **kwargs)

    monkeypatch.setattr(stacked, "StackedSession", small_device)
    given = trainings()
    run = StackedRun(context, given, "cpu")

    finished(run)

    assert sizes == [4, 2, 2]
    for outcome, training in zip(outcomes(run, 4), given, strict=True):
        assert_same(outcome, alone(context, training))


def test_trainings_whose_steps_cannot_be_recorded_are_trained_all_the_same(context: Context) -> None:
    given = trainings()
    run = StackedRun(context, given, "cpu", recorder=RefusingRecorder())

    finished(run)

    assert run.reason is None
    assert run.not_recorded == "CUDA error: operation not permitted when stream is capturing"
    for outcome, training in zip(outcomes(run, 4), given, strict=True):
        assert_same(outcome, alone(context, training))


def test_a_stack_runs_on_the_device_with_two_reads_an_epoch(context: Context) -> None:
    given = trainings()[1:3]

    with simulated_device() as device:
        run = StackedRun(context, given, str(DEVICE))
        run.advance(at_least_s=0.0)
        before = len(device.reads)
        run.advance(at_least_s=0.0)
        reads = device.reads[before:]

    for outcome, training in zip(outcomes(run, 2), given, strict=True):
        assert_same(outcome, alone(context, training))
    assert len(reads) == 2


def test_the_sites_of_these_tests_are_those_of_the_network() -> None:
    assert tuple(site.path for site in find_sites(MLP.build(0))) == SITES
