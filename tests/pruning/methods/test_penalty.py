"""The penalty: its growth, the weights that it applies to, and its measurements."""

import copy
from itertools import pairwise

import pytest
import torch
from torch import nn

from safs.pruning.masks import prunable_parameters
from safs.pruning.methods.penalty import LinearRamp, Penalty, norms_behind, pulled_down, spread_behind_norms
from tests.pruning.trainers import trainer_for


class Block(nn.Module):
    """Layers: one with a norm, one with a norm after an addition, and one without."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3)
        self.first_norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.sum_norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4 * 36, 10)

    def forward(self, images):
        x = self.first_norm(self.first(images)).relu()
        return self.head(self.sum_norm(x + self.second(x)).relu().flatten(1))


def block(seed: int = 0) -> Block:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Block()


@pytest.mark.parametrize(
    ("ramp", "updates"),
    [
        (LinearRamp(delta=1e-4, every=10, ceiling=1.0), 10_000),
        (LinearRamp(delta=0.005, every=10, ceiling=1.0), 200),
        (LinearRamp(delta=1e-5, every=5, ceiling=0.01), 1_000),
        (LinearRamp(delta=1e-4, every=5, ceiling=1.0, start=0.01), 9_900),
        (LinearRamp(delta=0.3, every=1, ceiling=1.0), 4),
        (LinearRamp(delta=5.0, every=7, ceiling=1.0), 1),
    ],
)
def test_the_penalty_grows_as_often_as_delta_fits_in_the_ceiling(ramp, updates):
    trace = [ramp.at(step) for step in range(ramp.steps + 50)]

    assert (ramp.updates, ramp.steps) == (updates, updates * ramp.every)
    assert trace[0] == min(ramp.start + ramp.delta, ramp.ceiling)
    assert len(set(trace)) == updates
    assert [step for step, (a, b) in enumerate(pairwise(trace), start=1) if a != b] == [
        update * ramp.every for update in range(1, updates)
    ]
    assert trace[ramp.every * updates :] == [ramp.ceiling] * 50
    growths = [b - a for a, b in pairwise(trace[: ramp.steps : ramp.every])][:-1]
    assert growths == pytest.approx([ramp.delta] * len(growths))


def test_the_gradient_of_the_penalty_is_lambda_times_the_weight():
    one, two, three = (nn.Parameter(torch.tensor(values)) for values in ([1.0, -2.0, 4.0], [3.0, 5.0], [7.0]))
    one.grad, two.grad = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([1.0, 1.0])
    pruned = {
        "one": torch.tensor([True, True, False]),
        "two": torch.tensor([False, True]),
        "three": torch.tensor([True]),
    }
    kept = {"one": ~pruned["one"]}

    Penalty({"one": one, "two": two, "three": three}, pruned, kept).add(0.5, -0.1)

    assert one.grad.tolist() == pytest.approx([0.1 + 0.5, 0.2 - 1.0, 0.3 - 0.4])
    assert two.grad.tolist() == pytest.approx([1.0, 1.0 + 2.5])
    assert three.grad is None  # the loss does not depend on it


def test_only_the_norm_directly_after_a_layer_is_found():
    trainer = trainer_for(model := block().train(), epochs=1)
    before = copy.deepcopy(model.state_dict())

    found = norms_behind(trainer)

    assert found == {"first.weight": "first_norm"}
    assert model.training
    assert model.first_norm.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_norm_that_two_layers_share_is_not_found():
    norm = nn.BatchNorm1d(64)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), norm, nn.Linear(64, 64), norm, nn.Linear(64, 10))

    assert norms_behind(trainer_for(model, epochs=1)) == {}


def test_a_filter_pruned_whole_is_penalised_with_its_scale_in_the_norm():
    model = block()
    masks = {name: torch.ones_like(one, dtype=torch.bool) for name, one in prunable_parameters(model).items()}
    masks["first.weight"][1] = False
    masks["first.weight"][2, 0, 0] = False
    masks["second.weight"][3] = False

    pulled = pulled_down(model, masks, {"first.weight": "first_norm"})

    assert pulled.keys() == {*masks, "first_norm.weight"}
    assert all(torch.equal(pulled[name], ~mask) for name, mask in masks.items())
    assert pulled["first_norm.weight"].tolist() == [False, True, False, False]


def test_the_spread_after_norms_is_that_of_pruned_filters_and_of_the_others():
    model = nn.Sequential(nn.Conv2d(1, 3, 1, bias=False), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3 * 64, 10))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([2.0, -1.0, 0.5]).view(3, 1, 1, 1))
        model[1].running_var.copy_(torch.tensor([4.0, 1.0, 0.25]))
        model[1].weight.copy_(torch.tensor([3.0, 0.5, 1.0]))
    masks = {name: torch.ones_like(one, dtype=torch.bool) for name, one in prunable_parameters(model).items()}
    masks["0.weight"][1] = False
    trainer = trainer_for(model, epochs=1)

    gone, others = spread_behind_norms(trainer, masks, norms_behind(trainer))

    # Images are normalised to deviation 1, and each filter's own scale cancels against its running variance.
    assert gone == pytest.approx(0.5, rel=0.02)
    assert others == pytest.approx((3.0 + 1.0) / 2, rel=0.02)


def test_there_is_no_spread_if_no_filter_is_pruned_whole():
    model = block()
    masks = {name: torch.ones_like(one, dtype=torch.bool) for name, one in prunable_parameters(model).items()}
    masks["first.weight"][:, :, 0] = False
    trainer = trainer_for(model, epochs=1)

    assert spread_behind_norms(trainer, masks, norms_behind(trainer)) is None
    assert spread_behind_norms(trainer, masks, {}) is None
