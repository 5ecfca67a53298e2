"""Contract of every optimizer: it moves the weights, spares exempt parameters, and holds masks."""

import pytest
import torch
from torch import nn

from safs.errors import UnknownNameError
from safs.spec.training import Recipe
from safs.training.optimizers import OPTIMIZERS, make_optimizer


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_decay_shrinks_weights_and_neither_norms_nor_biases_nor_exempt_parameters(name):
    model = network()
    exempt = model[3].weight
    before = {key: parameter.detach().clone() for key, parameter in model.named_parameters()}
    optimizer = make_optimizer(model, Recipe(optimizer=name, learning_rate=1e-3, weight_decay=0.5), exempt=[exempt])

    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()

    moved = {key for key, parameter in model.named_parameters() if not torch.equal(parameter, before[key])}
    assert moved == {"0.weight"}
    assert bool((model[0].weight.abs() < before["0.weight"].abs()).all())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_weight_is_moved_by_its_own_gradient_alone(name):
    """Pruned weights may keep their gradients, since these reach no other weight."""

    def moved(gradient_of_another: float) -> float:
        layer = nn.Linear(2, 1, bias=False)
        nn.init.ones_(layer.weight)
        optimizer = make_optimizer(layer, Recipe(optimizer=name, learning_rate=0.1))
        for _ in range(3):
            layer.weight.grad = torch.tensor([[1.0, gradient_of_another]])
            optimizer.step()
        return layer.weight[0, 0].item()

    assert moved(0.0) == moved(1000.0) != 1.0


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_frozen_parameters_are_left_out(name):
    model = network()
    model[0].requires_grad_(False)

    optimizer = make_optimizer(model, Recipe(optimizer=name))

    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    assert held == {id(parameter) for parameter in model.parameters() if parameter.requires_grad}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_first_group_is_that_of_the_weights(name):
    optimizer = make_optimizer(network(), Recipe(optimizer=name, learning_rate=0.03, weight_decay=0.1))

    assert optimizer.param_groups[0]["weight_decay"] == 0.1
    assert optimizer.param_groups[0]["lr"] == 0.03
    assert OPTIMIZERS[name].summary


@pytest.mark.parametrize(("momentum", "weights"), [(0.5, [0.85, 0.675]), (0.0, [0.9, 0.8])])
def test_sgd_takes_nesterov_momentum_if_the_recipe_says_so(momentum, weights):
    """The step is g + momentum * buffer, with buffer = momentum * buffer + g; without momentum it is g."""
    layer = nn.Linear(1, 1, bias=False)
    nn.init.ones_(layer.weight)
    recipe = Recipe(optimizer="sgd", learning_rate=0.1, momentum=momentum, nesterov=True)
    optimizer = make_optimizer(layer, recipe)

    for expected in weights:
        layer.weight.grad = torch.ones(1, 1)
        optimizer.step()
        assert layer.weight.item() == pytest.approx(expected)


def test_other_optimizers_ignore_nesterov():
    make_optimizer(nn.Linear(1, 1), Recipe(optimizer="adam", nesterov=True))


def test_sgd_takes_the_recipes_momentum():
    layer = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(layer.weight)
    optimizer = make_optimizer(layer, Recipe(optimizer="sgd", learning_rate=0.1, momentum=0.5))

    for _ in range(3):
        layer.weight.grad = torch.ones(1, 1)
        optimizer.step()

    assert layer.weight.item() == pytest.approx(-0.1 * (1 + 1.5 + 1.75))


def test_an_unknown_optimizer_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match="Known: sgd, adam, adamw, nadam"):
        make_optimizer(network(), Recipe(optimizer="fromage"))
