"""A training that is interrupted and resumed equals the uninterrupted training, bit for bit."""

import pickle
from dataclasses import astuple, replace
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from safs.activations.surgery import rewire
from safs.data import Splits, TensorSplit
from safs.pruning.masks import Masks
from safs.spec.training import Recipe
from safs.training.learning_rate_schedules import SCHEDULES
from safs.training.optimizers import OPTIMIZERS
from safs.training.session import TrainingSession
from safs.training.settings import TrainingData, TrainingSettings
from safs.training.snapshot import Snapshot
from tests.pruning.magnitude import magnitude_masks

CPU = torch.device("cpu")


class Drifting(nn.Module):
    """A module with a buffer that changes in training and is not in the state dict."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros(()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.steps.add_(1.0)
        return x * (1 + 0.01 * self.steps)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(144, 16), nn.ReLU(),
        nn.Linear(16, 10),
    )  # fmt: skip
    return rewire(model, {"2": "srs", "6": "acon"}, learnable=True, modules={})


def small(digits: Splits, *, augment: bool = False) -> TrainingData:
    """128 images that can be cropped and flipped, and 60 to validate on."""
    few = [replace(part, images=part.images[:n], labels=part.labels[:n]) for part, n in parts(digits)]
    return TrainingData(replace(few[0], crop_and_flip=True), few[1], 64, augment)


def parts(digits: Splits) -> list[tuple[TensorSplit, int]]:
    assert isinstance(digits.train, TensorSplit)
    assert isinstance(digits.validation, TensorSplit)
    return [(digits.train, 128), (digits.validation, 60)]


@cache
def masks() -> Masks:
    return magnitude_masks(network(), 0.8)


def session(
    digits: Splits, recipe: Recipe, *, until: int | None = None, resume: Snapshot | None = None, model_seed: int = 0
) -> TrainingSession:
    model, settings = network(model_seed), TrainingSettings(recipe, 5, 3, until)
    exempt = model.activation_parameters()
    data = small(digits, augment=True)
    return TrainingSession(model, data, settings, masks=masks(), exempt=exempt, resume=resume)


def finish(training: TrainingSession) -> TrainingSession:
    while not training.finished:
        training.step()
    return training


def numbers(training: TrainingSession) -> list[tuple[float, ...]]:
    return [astuple(metrics)[:-1] for metrics in training.curve]


def travelled(snapshot: Snapshot) -> Snapshot:
    received = pickle.loads(pickle.dumps(snapshot))  # noqa: S301  # our own bytes
    assert isinstance(received, Snapshot)
    return received


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_two_epochs_and_three_more_in_a_new_session_are_five_bit_for_bit(optimizer, schedule, digits):
    recipe = Recipe(optimizer=optimizer, schedule=schedule, learning_rate=0.02, weight_decay=1e-3)
    whole = finish(session(digits, recipe))

    first = finish(session(digits, recipe, until=2))
    rest = session(digits, recipe, resume=travelled(first.snapshot()), model_seed=9)
    torch.rand(7)  # Random numbers that the caller draws do not affect the training.
    finish(rest)

    assert len(first.curve) == 2
    assert numbers(rest) == numbers(whole)
    assert rest.best.metrics.epoch == whole.best.metrics.epoch
    assert rest.best.state.keys() == whole.best.state.keys()
    assert all(torch.equal(rest.best.state[name], tensor) for name, tensor in whole.best.state.items())


def test_a_snapshot_is_not_moved_by_the_trainings_before_and_after_it(digits):
    recipe = Recipe(optimizer="adam", learning_rate=0.02)
    first = session(digits, recipe)
    for _ in range(2):
        first.step()
    snapshot = first.snapshot()
    before = pickle.dumps(snapshot)

    finish(first)
    finish(session(digits, recipe, resume=snapshot))

    assert pickle.dumps(snapshot) == before


def test_the_best_epoch_may_lie_before_the_snapshot(digits):
    recipe = Recipe(optimizer="sgd", schedule="constant", learning_rate=0.05)
    first = finish(session(digits, recipe, until=2))
    snapshot = first.snapshot()
    unbeatable = replace(snapshot.best, metrics=replace(snapshot.best.metrics, validation_accuracy=1.1))

    rest = finish(session(digits, recipe, resume=replace(snapshot, best=unbeatable)))

    assert rest.best == unbeatable


def test_what_the_state_dict_leaves_out_comes_along(digits):
    def drifting() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), Drifting(), nn.Linear(64, 10))

    def trained(until: int | None = None, resume: Snapshot | None = None) -> TrainingSession:
        settings = TrainingSettings(Recipe(), 3, 0, until)
        return finish(TrainingSession(drifting(), small(digits), settings, resume=resume))

    whole, first = trained(), trained(until=1)
    rest = trained(resume=first.snapshot())

    assert numbers(rest) == numbers(whole)


def test_its_size_is_that_of_weights_moments_and_best_weights(digits):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10, bias=False))
    training = TrainingSession(model, small(digits), TrainingSettings(Recipe(optimizer="sgd"), epochs=2, seed=0))
    training.step()

    assert training.snapshot().size_bytes == 3 * 640 * 4


def test_evaluations_with_a_single_class_are_counted_from_the_last_other_one(digits):
    class Switched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.constant = nn.Linear(64, 10), False

        def forward(self, x: Tensor) -> Tensor:
            logits = self.linear(x.flatten(1))
            constant = torch.arange(10.0).expand_as(logits)
            return constant if self.constant and not self.training else logits

    model, seen = Switched(), []
    training = TrainingSession(model, small(digits), TrainingSettings(Recipe(learning_rate=0.01), epochs=6, seed=0))
    for constant in (True, False, True, True, True, False):
        model.constant = constant
        training.step()
        seen.append(training.one_class_epochs)

    assert seen == [1, 0, 1, 2, 3, 0]
