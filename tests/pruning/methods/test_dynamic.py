"""SET and RigL: which connections move, how many, and the effect on accuracy."""

from math import cos, pi
from statistics import mean

import pytest
import torch
from torch import nn

from safs.errors import SparsityError, SpecError
from safs.models.mlp import MLP
from safs.pruning.masks import prunable_parameters
from safs.pruning.methods.dynamic import Connections, at_random, by_gradient, check, drop, grow, rigl, set_
from safs.spec.pruning import PruneSpec
from safs.spec.training import Recipe
from safs.training.evaluate import evaluate
from tests.pruning.trainers import CPU, count, digits, drain, perceptron, task_for, trainer_for

METHODS = {"rigl": rigl, "set": set_}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def layer(values, gradient):
    weight = nn.Parameter(torch.tensor(values))
    weight.grad = torch.tensor(gradient)
    return weight


def per_layer(masks):
    return {name: int(mask.sum()) for name, mask in masks.items()}


def test_the_smallest_live_weights_are_dropped():
    weight = torch.tensor([[0.5, -0.1, 0.3], [-0.9, 0.0, 2.0]])
    mask = torch.tensor([[True, True, True], [True, True, False]])

    assert drop(weight, mask, 3).tolist() == [[True, False, True], [True, False, False]]


def test_the_largest_scores_among_the_pruned_are_grown():
    mask = torch.tensor([True, False, False, False])

    assert grow(torch.tensor([9.0, 0.1, 0.3, 0.2]), mask, 3).tolist() == [True, False, True, True]


def test_zero_gradients_are_ordered_at_random_by_the_seed():
    nothing, weight = torch.zeros(1000, dtype=torch.bool), layer([0.0] * 1000, [0.0] * 999 + [1e-20])

    grown, again, other = (grow(by_gradient(weight, generator(seed)), nothing, 101) for seed in (0, 0, 1))

    assert torch.equal(grown, again)
    assert not torch.equal(grown, other)
    assert 25 <= int(grown[:500].sum()) <= 75
    assert grown[999]


def test_a_move_drops_by_magnitude_and_grows_by_gradient():
    weight = layer([0.1, 0.2, 0.3, 0.4, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, -3.0, 1.0, 2.0])
    connections = Connections({"weight": weight}, {"weight": 4}, by_gradient, generator())
    connections.masks = {"weight": torch.tensor([True] * 4 + [False] * 3)}

    masks = connections.move(0.5)

    assert masks["weight"].tolist() == [False, False, True, True, True, False, True]


def test_a_dropped_weight_is_grown_again_if_its_gradient_is_largest():
    weight = layer([0.1, 0.2, 0.0], [5.0, 0.0, 1.0])
    connections = Connections({"weight": weight}, {"weight": 2}, by_gradient, generator())
    connections.masks = {"weight": torch.tensor([True, True, False])}

    assert connections.move(0.5)["weight"].tolist() == [True, True, False]


def test_a_move_to_other_counts_grows_by_gradient_or_prunes_by_magnitude():
    weight = layer([0.1, 0.2, 0.3, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0, 2.0])
    connections = Connections({"weight": weight}, {"weight": 3}, by_gradient, generator())
    connections.masks = {"weight": torch.tensor([True] * 3 + [False] * 2)}

    more = connections.move(0.0, {"weight": 4})
    fewer = connections.move(0.0, {"weight": 1})

    assert more["weight"].tolist() == [True, True, True, False, True]
    assert fewer["weight"].tolist() == [False, False, True, False, False]


@pytest.mark.parametrize("growth", [by_gradient, at_random])
def test_every_layer_keeps_its_count_for_every_share(growth):
    weights = {f"{live}.weight": layer(torch.randn(4, 5).tolist(), torch.randn(4, 5).tolist()) for live in (1, 7, 20)}
    counts = {"1.weight": 1, "7.weight": 7, "20.weight": 20}
    connections = Connections(weights, counts, growth, generator())

    for share in (0.0, 0.1, 0.3, 0.5, 0.9):
        assert per_layer(connections.move(share)) == counts


def test_random_growth_ignores_gradients():
    weight = layer([1.0] * 10 + [0.0] * 90, [0.0] * 10 + [9.0] * 10 + [0.0] * 80)
    start = torch.arange(100) < 10
    grown = torch.zeros(100)
    for seed in range(100):
        connections = Connections({"weight": weight}, {"weight": 10}, at_random, generator(seed))
        connections.masks = {"weight": start}
        grown += connections.move(0.5)["weight"] & ~start

    assert grown[10:20].mean().item() == pytest.approx(grown[20:].mean().item(), rel=0.3)


@pytest.mark.parametrize("method", METHODS)
def test_a_training_moves_connections_at_the_right_steps_and_keeps_every_layers_count(method):
    model = perceptron()
    trainer = trainer_for(model, 8, batch_size=128)  # 11 steps an epoch

    epochs, pruned = drain(METHODS[method](trainer, 0.9, PruneSpec(method=method, options={"every": 10})))

    assert len(epochs) == 8
    assert [update.step for update in trainer.updates] == [
        10,
        20,
        30,
        40,
        50,
        60,
    ]  # 88 steps, three quarters of them are 66
    weights = sum(parameter.numel() for parameter in prunable_parameters(model).values())
    counts = per_layer(trainer.trainings[0].masks)
    assert sum(counts.values()) == weights - round(0.9 * weights)
    assert all(per_layer(update.masks) == counts for update in trainer.updates)
    assert per_layer(pruned.masks) == counts
    before = trainer.trainings[0].masks
    for update in trainer.updates:
        share = 0.3 * (1 + cos(pi * update.step / 66)) / 2
        for name, mask in update.masks.items():
            assert int((before[name] & ~mask).sum()) <= round(share * counts[name])
        before = update.masks
    assert any(not torch.equal(trainer.trainings[0].masks[name], mask) for name, mask in pruned.masks.items())
    assert all(
        torch.equal(parameter != 0, pruned.masks[name]) for name, parameter in prunable_parameters(pruned.model).items()
    )


def test_training_repeats_itself_under_a_seed():
    def run(seed):
        return drain(rigl(trainer_for(perceptron(), 2, seed=seed), 0.9, PruneSpec(method="rigl", epochs=2)))[1]

    one, same, other = run(0), run(0), run(1)

    assert all(torch.equal(value, same.model.state_dict()[name]) for name, value in one.model.state_dict().items())
    assert any(not torch.equal(mask, other.masks[name]) for name, mask in one.masks.items())


def test_moving_connections_are_far_better_than_a_static_mask_at_half_a_percent():
    recipe = Recipe(optimizer="adam", learning_rate=1e-2, schedule="cosine")

    def accuracy(seed, **options):
        torch.manual_seed(seed)
        trainer = trainer_for(MLP(64, 10, (256, 256, 256)), 6, seed=seed, batch_size=64, recipe=recipe)
        _, pruned = drain(rigl(trainer, 0.995, PruneSpec(method="rigl", epochs=6, options=options)))
        assert count(pruned.masks) == 750
        return evaluate(pruned.model, digits().test, batch_size=512, device=CPU).accuracy

    static = mean(accuracy(seed, until=0.0) for seed in range(3))
    moving = mean(accuracy(seed) for seed in range(3))

    assert moving > static + 0.3


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"score": "synflow"}, "prune.score"),
        ({"schedule": "cubic"}, "prune.schedule"),
        ({"granularity": "filter"}, "prune.granularity"),
        ({"epochs": 0}, "prune.epochs"),
        ({"distribution": "global"}, "prune.distribution"),
        ({"options": {"drop": 1.5}}, "prune.options.drop"),
        ({"options": {"rounds": 3}}, "prune.options.rounds"),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_unsuitable_options_and_axes_are_refused(method, wrong, field):
    with pytest.raises(SpecError) as caught:
        check(task_for(perceptron(), 0.9, PruneSpec(method=method, **wrong)))

    assert caught.value.field == field


def test_a_sparsity_that_empties_a_layer_is_refused():
    with pytest.raises(SparsityError, match="Choose a sparsity of at most"):
        check(task_for(perceptron(), 0.9999, PruneSpec(method="rigl")))
