"""Stacked trainings: each has the numbers that it has alone, and none disturbs another."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle

import pytest
import torch
from torch import Tensor, nn

from safs.activations.operators import OPERATORS
from safs.activations.rewired import RewiredModel
from safs.activations.surgery import find_sites, rewire
from safs.data import Splits, TensorSplit
from safs.models.lenet import LeNet5
from safs.models.mlp import MLP
from safs.pruning.masks import Masks
from safs.spec.training import Recipe
from safs.training.learning_rate_schedules import SCHEDULES
from safs.training.optimizers import OPTIMIZERS
from safs.training.session import TrainingSession
from safs.training.settings import TrainingData, TrainingSettings
from safs.training.stacked.network import check_outputs
from safs.training.stacked.session import StackedSession
from safs.training.stacked.stack import NotStackable
from safs.trials import EpochMetrics
from tests.pruning.magnitude import magnitude_masks
from tests.training.stacked.test_captured import FakeRecorder


class Convolutions(nn.Module):
    """Convolutions with and without groups, a residual, layer norm, dropout, and a linear layer over positions."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.drop = nn.Dropout2d(0.2)
        self.positions = nn.Linear(16, 8)
        self.scale = nn.LayerNorm(8)
        self.head = nn.Linear(32, 10)
        self.end = nn.Dropout(0.2)

    def forward(self, images: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(images)))
        x = self.drop(nn.functional.max_pool2d(torch.relu(self.depthwise(x)) + x, 2))
        x = self.scale(torch.relu(self.positions(x.flatten(2))))
        return self.head(self.end(x.reshape(x.size(0), -1)))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "mlp": (lambda: MLP(64, 10, (24, 16)), 8),
    "convolutions": (Convolutions, 8),
    "lenet5": (lambda: LeNet5(1, 10, 28), 28),
}
BATCHES, IMAGES = 3, 40
RECIPES = [
    Recipe(
        optimizer=optimizer, schedule=schedule, learning_rate=rate, weight_decay=1e-2, momentum=momentum, nesterov=True
    )
    for optimizer, schedule, rate, momentum in zip(
        sorted([*OPTIMIZERS, *OPTIMIZERS]),
        cycle(SCHEDULES),
        [3e-3, 1e-3, 1e-3, 5e-3, 2e-3, 1e-3, 1e-2, 5e-2],
        [0.9] * 6 + [0.0, 0.9],
        strict=False,
    )
]


def make_data(digits: Splits, size: int, images: int = 32 * BATCHES) -> TrainingData:
    def few(split: object, count: int) -> TensorSplit:
        assert isinstance(split, TensorSplit)
        return replace(split, images=split.images[:count], labels=split.labels[:count], image_size=size)

    return TrainingData(few(digits.train, images), few(digits.validation, IMAGES), 32)


def start(name: str) -> tuple[nn.Module, Masks]:
    torch.manual_seed(0)
    model = NETWORKS[name][0]()
    return model, magnitude_masks(model, 0.8)


def rewired(model: nn.Module, count: int, *, learnable: bool = True) -> list[RewiredModel]:
    """Copies of ``model`` with other operators at every site; together they have all operators."""
    paths = [site.path for site in find_sites(model)]
    operators = list(OPERATORS)
    made = []
    for number in range(count):
        assignment = {path: operators[(2 * number + site) % len(operators)] for site, path in enumerate(paths)}
        state = {name: value.clone() for name, value in model.state_dict().items()}
        copy = type_of(model)
        copy.load_state_dict(state)
        made.append(rewire(copy, assignment, learnable=learnable))
    return made


def type_of(model: nn.Module) -> nn.Module:
    return next(make() for make, _ in NETWORKS.values() if type(make()) is type(model))


def finished(session: StackedSession | TrainingSession) -> None:
    while not session.finished:
        session.step()


def single(model: RewiredModel, data: TrainingData, settings: TrainingSettings, masks: Masks) -> TrainingSession:
    return TrainingSession(model, data, settings, masks=masks, exempt=model.activation_parameters())


def numbers(curve: Sequence[EpochMetrics]) -> list[tuple[float, ...]]:
    return [(m.epoch, m.train_loss, m.validation_loss, m.learning_rate) for m in curve]


def assert_same(curve: Sequence[EpochMetrics], expected: Sequence[EpochMetrics]) -> None:
    assert numbers(curve) == [pytest.approx(row, rel=2e-3, abs=1e-4) for row in numbers(expected)]
    for ours, theirs in zip(curve, expected, strict=True):
        # A rounding error may change the class of an image that lies on the border of two.
        assert ours.validation_accuracy == pytest.approx(theirs.validation_accuracy, abs=1.01 / IMAGES)


@pytest.mark.parametrize("learnable", [True, pytest.param(False, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_training_of_a_stack_has_the_numbers_that_it_has_alone(name, learnable, digits):
    model, masks = start(name)
    data = make_data(digits, NETWORKS[name][1])
    settings = [TrainingSettings(recipe, 2, seed=3) for recipe in RECIPES]
    stack = StackedSession(rewired(model, len(RECIPES), learnable=learnable), data, settings, masks=masks)

    finished(stack)

    alone = rewired(model, len(RECIPES), learnable=learnable)
    for member, one, chosen in zip(stack.members, alone, settings, strict=True):
        expected = single(one, data, chosen, masks)
        finished(expected)
        assert_same(member.curve, expected.curve)
        assert member.one_class_epochs == expected.one_class_epochs


def test_a_last_batch_of_one_image_is_skipped_as_in_a_training_alone(digits):
    model, masks = start("mlp")
    data = make_data(digits, 8, images=65)
    settings = [TrainingSettings(RECIPES[0], 1, seed=0)] * 2
    stack = StackedSession(rewired(model, 2), data, settings, masks=masks)

    finished(stack)

    expected = single(rewired(model, 2)[1], data, settings[1], masks)
    finished(expected)
    assert_same(stack.members[1].curve, expected.curve)
    assert stack.steps_done == expected.steps_done == 2


def test_a_training_that_diverges_leaves_the_stack_and_changes_no_other(digits):
    model, masks = start("mlp")
    data = make_data(digits, 8)
    wild = Recipe(optimizer="sgd", learning_rate=100.0, momentum=0.99)
    settings = [TrainingSettings(recipe, 3, seed=0) for recipe in (RECIPES[0], wild, RECIPES[0])]
    models = [
        rewired(model, 1)[0],
        rewire(type_of(model), dict.fromkeys(_paths(model), "symexp")),
        rewired(model, 2)[1],
    ]
    stack = StackedSession(models, data, settings, masks=masks)

    finished(stack)

    assert stack.members[1].error is not None
    assert stack.alive == (0, 2)
    expected = single(rewired(model, 2)[1], data, settings[2], masks)
    finished(expected)
    assert_same(stack.members[2].curve, expected.curve)


@pytest.mark.parametrize("name", ["mlp", pytest.param("convolutions", marks=pytest.mark.exhaustive)])
def test_a_snapshot_of_a_stack_continues_alone_and_in_another_stack(name, digits):
    model, masks = start(name)
    data = make_data(digits, 8)
    settings = [TrainingSettings(recipe, 3, seed=1) for recipe in RECIPES]
    expected = StackedSession(rewired(model, len(RECIPES)), data, settings, masks=masks)
    finished(expected)
    first = StackedSession(rewired(model, len(RECIPES)), data, [replace(one, until=1) for one in settings], masks=masks)
    finished(first)
    snapshots = [first.snapshot(position) for position in range(len(RECIPES))]

    promoted = [1, 4, 7]
    again = StackedSession(
        [rewired(model, len(RECIPES))[position] for position in promoted],
        data,
        [settings[position] for position in promoted],
        masks=masks,
        resume=[snapshots[position] for position in promoted],
    )
    finished(again)

    for member, position in zip(again.members, promoted, strict=True):
        assert_same(member.curve, expected.members[position].curve)
    for position, saved in enumerate(snapshots):
        one = rewired(model, len(RECIPES))[position]
        alone = TrainingSession(
            one, data, settings[position], masks=masks, exempt=one.activation_parameters(), resume=saved
        )
        finished(alone)
        assert_same(alone.curve, expected.members[position].curve)


def test_a_snapshot_of_a_training_alone_continues_in_a_stack(digits):
    model, masks = start("mlp")
    data = make_data(digits, 8)
    settings = [TrainingSettings(recipe, 2, seed=1) for recipe in RECIPES]
    snapshots = []
    for one, chosen in zip(rewired(model, len(RECIPES)), settings, strict=True):
        session = single(one, data, replace(chosen, until=1), masks)
        finished(session)
        snapshots.append(session.snapshot())

    stack = StackedSession(rewired(model, len(RECIPES)), data, settings, masks=masks, resume=snapshots)
    finished(stack)

    for member, one, chosen in zip(stack.members, rewired(model, len(RECIPES)), settings, strict=True):
        expected = single(one, data, chosen, masks)
        finished(expected)
        assert_same(member.curve, expected.curve)


def test_pruned_weights_stay_zero_and_kept_ones_do_not_become_zero(digits):
    model, masks = start("convolutions")
    with torch.no_grad():
        model.head.weight[0] = 0.0
    masks["head.weight"][0] = True
    data = make_data(digits, 8)
    settings = [
        TrainingSettings(Recipe(optimizer=name, learning_rate=1e-30), 2, 0, until=1) for name in sorted(OPTIMIZERS)
    ]
    stack = StackedSession(rewired(model, len(settings)), data, settings, masks=masks)

    finished(stack)

    for position in range(len(settings)):
        saved = stack.snapshot(position)
        for state in (saved.model, saved.best.state):
            assert all(torch.equal(state[name] != 0, mask) for name, mask in masks.items())


def test_a_snapshot_has_the_tensors_of_a_training_alone(digits):
    model, masks = start("convolutions")
    data = make_data(digits, 8)
    settings = [TrainingSettings(recipe, 3, 0, until=1) for recipe in RECIPES]
    stack = StackedSession(rewired(model, len(RECIPES)), data, settings, masks=masks)
    finished(stack)

    for position, one in enumerate(rewired(model, len(RECIPES))):
        session = single(one, data, settings[position], masks)
        finished(session)
        expected, saved = session.snapshot(), stack.snapshot(position)
        assert {name: value.shape for name, value in saved.model.items()} == {
            name: value.shape for name, value in expected.model.items()
        }
        assert saved.best.state.keys() == expected.best.state.keys()
        if settings[position].recipe.optimizer == "sgd":  # Adam makes whole steps of a rounding error.
            for name, value in expected.best.state.items():
                torch.testing.assert_close(saved.best.state[name], value, rtol=2e-3, atol=1e-4)
        assert saved.optimizer.state["param_groups"] == expected.optimizer.state["param_groups"]
        assert saved.optimizer.state["state"].keys() == expected.optimizer.state["state"].keys()
        for key, entry in expected.optimizer.state["state"].items():
            assert saved.optimizer.state["state"][key].keys() == entry.keys()
        assert saved.schedule.get("by_step") == expected.schedule.get("by_step")
        assert saved.schedule.keys() == expected.schedule.keys()


class MeanOverTheBatch(nn.Module):
    """Subtracts the mean image of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = torch.relu(self.head(images.flatten(1)))
        return x - x.mean(0, keepdim=True)


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(64, 64), nn.Linear(64, 64)
        self.two.weight = self.one.weight
        self.head = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(torch.relu(self.two(torch.relu(self.one(images.flatten(1))))))


class Scaled(nn.Module):
    """A parameter of no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(10))
        self.head = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        return torch.relu(self.head(images.flatten(1))) * self.scale


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (MeanOverTheBatch, "other outputs"),
        (Tied, "share their weights"),
        (Scaled, "the parameter scale belongs to no layer"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Bilinear(1, 1, 1)), "1 is a Bilinear"),
        (lambda: nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"), nn.ReLU()), "'circular'"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.AlphaDropout(0.1)), "AlphaDropout"),
    ],
    ids=lambda value: getattr(value, "__name__", "") or None,
)
def test_a_network_that_cannot_be_stacked_says_why(make, reason, digits):
    models = [rewire(make()), rewire(make())]
    images = next(make_data(digits, 8).train.batches(4, device=torch.device("cpu")))[0]

    with pytest.raises(NotStackable, match=reason):
        check_outputs(models, images)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_that_can_be_stacked_pass_the_check(name, digits):
    model, _ = start(name)
    models = rewired(model, 3)
    before = {name: value.clone() for name, value in models[0].state_dict().items()}
    images = next(make_data(digits, NETWORKS[name][1]).train.batches(4, device=torch.device("cpu")))[0]

    check_outputs(models, images)

    assert all(torch.equal(value, before[name]) for name, value in models[0].state_dict().items())


def _paths(model: nn.Module) -> list[str]:
    return [site.path for site in find_sites(model)]


def test_a_recorded_stack_has_the_numbers_of_one_that_is_not(digits):
    model, masks = start("mlp")
    data = make_data(digits, 8, images=32 * 5 + 8)
    settings = [TrainingSettings(recipe, 2, seed=0) for recipe in RECIPES]
    expected = StackedSession(rewired(model, len(RECIPES)), data, settings, masks=masks)
    finished(expected)
    recorder = FakeRecorder()

    recorded = StackedSession(rewired(model, len(RECIPES)), data, settings, masks=masks, recorder=recorder)
    finished(recorded)

    assert [numbers(one.curve) for one in recorded.members] == [numbers(one.curve) for one in expected.members]
    assert recorder.events.count("record") == 1
