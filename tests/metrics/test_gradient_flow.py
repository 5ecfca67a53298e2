"""Gradient norms against the formula of softmax regression."""

import pytest
import torch
from torch import Tensor, nn

from safs.metrics.gradient_flow import measure_gradient_flow

CPU = torch.device("cpu")
IMAGES = torch.randn(7, 1, 2, 2, generator=torch.Generator().manual_seed(3))
LABELS = [0, 2, 1, 1, 0, 2, 2]


def classifier() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3))


def softmax_gradient(weight: Tensor, bias: Tensor) -> Tensor:
    """d/dW of the mean cross-entropy of softmax(W x + b): the mean of (p - y) x^T."""
    x = IMAGES.flatten(1)
    errors = (x @ weight.T + bias).softmax(dim=1) - torch.eye(3)[LABELS]
    return errors.T @ x / len(x)


@pytest.mark.parametrize("batch_size", [2, 3, 100])
def test_it_is_the_norm_of_the_whole_splits_gradient_over_live_weights(batch_size: int, split_of):
    model = classifier()
    layer = model[1]
    live = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 1], [1, 1, 0, 0]], dtype=torch.bool)
    layer.weight.data *= live
    expected = softmax_gradient(layer.weight.data, layer.bias.data)[live].square().sum().sqrt()

    flow = measure_gradient_flow(
        model, {"1.weight": layer.weight}, split_of(IMAGES, LABELS, 3), batch_size=batch_size, device=CPU
    )

    assert flow.layers == {"1.weight": pytest.approx(float(expected), rel=1e-5)}
    assert flow.total == pytest.approx(float(expected), rel=1e-5)


def test_layers_add_up_in_squares_and_a_layer_behind_dead_neurons_gets_nothing(split_of):
    torch.manual_seed(1)
    first, second, third = nn.Linear(4, 3), nn.Linear(3, 3), nn.Linear(3, 3)
    model = nn.Sequential(nn.Flatten(), first, nn.Tanh(), second, nn.ReLU(), third)
    weights = {"first": first.weight, "second": second.weight, "third": third.weight}
    split = split_of(IMAGES, LABELS, 3)

    alive = measure_gradient_flow(model, weights, split, batch_size=4, device=CPU)
    second.bias.data[:] = -100.0
    dead = measure_gradient_flow(model, weights, split, batch_size=4, device=CPU)

    assert alive.total == pytest.approx(sum(norm**2 for norm in alive.layers.values()) ** 0.5)
    assert min(alive.layers.values()) > 0
    assert dead.layers == {"first": 0.0, "second": 0.0, "third": 0.0}


def test_a_shared_weight_gets_the_sum_of_its_uses(split_of):
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4, bias=False)
            self.again = nn.Linear(4, 4, bias=False)
            self.again.weight = self.layer.weight

        def forward(self, images: Tensor) -> Tensor:
            return self.again(self.layer(images.flatten(1)))

    torch.manual_seed(0)
    model = Twice()
    weight, x = model.layer.weight.detach(), IMAGES.flatten(1)
    errors = ((x @ weight.T @ weight.T).softmax(dim=1) - torch.eye(4)[LABELS]) / len(x)
    expected = errors.T @ (x @ weight.T) + (errors @ weight).T @ x  # as the outer factor, and as the inner one

    flow = measure_gradient_flow(
        model, {"layer.weight": model.layer.weight}, split_of(IMAGES, LABELS, 4), batch_size=100, device=CPU
    )

    assert flow.total == pytest.approx(float(expected.norm()), rel=1e-5)


def test_the_model_stays_as_it_was(split_of):
    model = nn.Sequential(classifier(), nn.BatchNorm1d(3), nn.Dropout(0.5)).train()
    weight = model[0][1].weight
    weight.grad = torch.ones_like(weight)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    split = split_of(IMAGES, LABELS, 3)

    first, second = (measure_gradient_flow(model, {"w": weight}, split, batch_size=3, device=CPU) for _ in range(2))

    assert first == second  # no dropout: eval mode
    assert model.training
    assert model[2].training
    assert torch.equal(weight.grad, torch.ones_like(weight))
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
