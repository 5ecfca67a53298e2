"""Weights of dead channels: dropped with their constants carried on, with equal outputs."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from safs.activations.surgery import SingleInputModel, rewire
from safs.deploy.sparse.dead_channels import without_dead_channels
from safs.deploy.sparse.graph import steps_of
from safs.deploy.sparse.runtime import SparseNetwork
from safs.deploy.sparse.steps import Convolution, Linear, Step
from safs.deploy.torch_graph import traced


class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.third = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.third(self.second(x) + x).flatten(1)


def _plain(padding: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 3, padding=padding), nn.MaxPool2d(2), nn.Flatten(1),
        nn.Linear(6 * (4 if padding else 3) ** 2, 5),
    )  # fmt: skip


def _assembled(model: nn.Module) -> nn.Module:
    return rewire(model, {}, kind=SingleInputModel).eval()


def _live(steps: list[Step]) -> list[int]:
    return [int(step.weight.count_nonzero()) for step in steps if isinstance(step, Convolution | Linear)]


def _steps(model: nn.Module) -> tuple[list[Step], list[Step]]:
    steps, output = steps_of(traced(_assembled(model)))
    return steps, without_dead_channels(steps, output)


def _silence(layer: nn.Module, channel: int, bias: float) -> None:
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    with torch.no_grad():
        layer.weight[channel] = 0
        layer.bias[channel] = bias


def test_a_channel_that_is_always_zero_takes_the_weights_that_read_it() -> None:
    model = _plain(padding=1)
    _silence(model[0], 2, -1.0)  # the ReLU makes it 0

    before, after = map(_live, _steps(model))

    assert before[0] == after[0] == 8 * 27 - 27
    assert after[1] == before[1] - 6 * 9


@pytest.mark.parametrize(("padding", "removed"), [(0, 6 * 9), (1, 0)])
def test_another_constant_is_carried_on_only_where_no_padding_differs_from_it(padding: int, removed: int) -> None:
    model = _plain(padding)
    _silence(model[0], 2, 0.7)

    before, after = map(_live, _steps(model))

    assert after[1] == before[1] - removed


def test_a_constant_passes_pooling_and_flattening_into_the_linear_layer() -> None:
    model = _plain(padding=1)
    _silence(model[2], 3, 0.5)

    before, after = map(_live, _steps(model))

    assert after[2] == before[2] - 5 * 16


def test_a_channel_that_nothing_reads_loses_its_weights_and_a_residual_reads() -> None:
    plain, residual = _plain(padding=1), _Residual()
    with torch.no_grad():
        plain[2].weight[:, 4] = 0
        residual.second.weight[:, 4] = 0

    assert _live(_steps(plain)[1])[0] == 8 * 27 - 27
    assert _live(_steps(residual)[1])[0] == 8 * 27


@pytest.mark.parametrize("build", [lambda: _plain(0), lambda: _plain(1), _Residual])
def test_outputs_are_equal_where_most_channels_are_dead(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    model = build().eval()
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.weight *= torch.rand_like(layer.weight) < 0.03
    x = torch.randn(4, 3, 8, 8)
    network = SparseNetwork(traced(_assembled(model)))

    before, after = map(_live, _steps(model))
    assert sum(after) < sum(before)
    for way in ("dense", "sparse"):
        assert torch.allclose(network.run(x, network.plan(way)), model(x), atol=1e-5)
