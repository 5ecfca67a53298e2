"""Trials of pruned starts: a pruning and a training as one piece of work."""

from dataclasses import astuple, replace

import pytest
import torch

from safs.execution.pruned_training import PrunedTraining
from safs.execution.pruning import Pruning, PruningRun
from safs.execution.runs import begin
from safs.execution.training import Training, TrainingRun
from safs.execution.work import Context, Run, Trained
from safs.spec.pruning import PruneSpec
from safs.spec.training import Recipe
from safs.trials import EpochMetrics
from tests.execution.images import random_images

GRADUAL = PruneSpec(schedule="cubic", epochs=2)
RECIPE = Recipe(learning_rate=1e-3)
WORK = PrunedTraining(Pruning(GRADUAL, 0.9, RECIPE, 0), Training({}, Recipe(schedule="one_cycle"), 3, 0))


@pytest.fixture(scope="module")
def context() -> Context:
    return random_images("lenet5")


def ran(run: Run) -> Trained:
    while not run.finished:
        run.advance(at_least_s=60)
    return run.trained()


def numbers(curve: tuple[EpochMetrics, ...]) -> list[tuple[object, ...]]:
    """The epochs without their seconds."""
    return [astuple(epoch)[:-1] for epoch in curve]


def test_it_is_the_pruning_and_then_the_training_of_the_pruned_network(context: Context) -> None:
    pruned = ran(PruningRun(context, WORK.pruning, "cpu"))
    assert pruned.network is not None
    start = replace(context, start=pruned.network.state, masks=pruned.network.masks)
    trained = ran(TrainingRun(start, WORK.training, "cpu"))

    both = ran(begin(context, WORK, "cpu"))

    assert both.outcome.loss == trained.outcome.loss
    assert [epoch.epoch for epoch in both.outcome.curve] == [1, 2, 3, 4, 5]
    assert numbers(both.outcome.curve)[:2] == numbers(pruned.outcome.curve)
    assert [epoch[1:] for epoch in numbers(both.outcome.curve)[2:]] == [
        epoch[1:] for epoch in numbers(trained.outcome.curve)
    ]
    assert both.outcome.metrics["epoch"] == trained.outcome.metrics["epoch"] + 2
    assert both.network is not None
    assert trained.network is not None
    assert both.network.sparsity().live == trained.network.sparsity().live
    assert all(torch.equal(both.network.state[name], value) for name, value in trained.network.state.items())


def test_it_resumes_from_a_snapshot_to_the_same_curve_without_pruning_again(context: Context) -> None:
    whole = ran(begin(context, WORK, "cpu")).outcome
    short = begin(context, replace(WORK, training=replace(WORK.training, until=1)), "cpu")
    first = ran(short).outcome

    snapshot = short.snapshot()
    resumed = begin(context, WORK, "cpu", snapshot)
    epochs = []
    while not resumed.finished:
        epochs += [metrics.epoch for metrics in resumed.advance(at_least_s=60)]

    assert snapshot is not None
    assert snapshot.size_bytes > 61_470 * 4
    assert numbers(first.curve) == numbers(whole.curve)[:3]
    assert epochs == [4, 5]
    assert numbers(resumed.outcome().curve) == numbers(whole.curve)
    assert resumed.outcome().metrics == whole.metrics


def test_it_leaves_no_snapshot_after_its_last_epoch(context: Context) -> None:
    run = begin(context, WORK, "cpu")
    ran(run)

    assert run.snapshot() is None


def test_a_pruning_that_breaks_down_is_the_error_of_the_whole(context: Context) -> None:
    hot = Recipe(optimizer="sgd", learning_rate=100.0, weight_decay=1.0)
    run = begin(context, replace(WORK, pruning=replace(WORK.pruning, recipe=hot)), "cpu")

    outcome = ran(run).outcome

    assert outcome.error is not None
    assert "not finite" in outcome.error
    assert outcome.loss == float("inf")
    assert run.snapshot() is None
