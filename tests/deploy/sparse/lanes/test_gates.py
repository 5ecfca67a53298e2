"""Activations as gates: equal to torch's, far from zero too."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from safs.activations.module import Activation
from safs.activations.operators import OPERATORS, Operator, scaled
from safs.deploy.sparse.lanes.gates import gate_of
from safs.deploy.sparse.runtime import SparseNetwork
from safs.deploy.torch_graph import traced
from tests.deploy.sparse.lanes.test_lane_network import check, random, sparse


def own(name: str) -> Operator:
    return scaled(name, getattr(F, name), "", "", "")


GATES = [OPERATORS[name] for name in ("swish", "hardswish", "tanh", "acon")]
GATES += [own(name) for name in ("silu", "sigmoid", "hardsigmoid")]


@pytest.mark.parametrize("operator", GATES, ids=lambda operator: operator.name)
def test_a_gate_has_the_values_of_its_operator(operator: Operator) -> None:
    values = dict.fromkeys(operator.scalars, 1.25) | {operator.scalars[0]: 0.75}
    activation = Activation(operator, values=values)
    assert gate_of(activation) is not None
    x = torch.cat([torch.linspace(-8, 8, 4000), torch.tensor([0.0, -0.0, 1e-20, 50, -50, 300, -300, 3e4, -3e4])])
    x = torch.cat([x, torch.zeros(-len(x) % 64)]).reshape(1, -1, 8, 8)
    channels = x.shape[1]
    network = nn.Sequential(activation, nn.AvgPool2d(1), nn.Flatten())  # pooling that changes nothing

    run = SparseNetwork(traced(network.eval())).lanes(x)
    assert run is not None
    with torch.inference_mode():
        actual, expected = run(x), activation(x).flatten(1)

    assert actual.shape == (1, channels * 64)
    assert ((actual - expected).abs() <= 2e-6 * (1 + expected.abs())).all()


def test_nan_stays_nan_behind_a_gate() -> None:
    network = nn.Sequential(Activation(OPERATORS["swish"]), nn.Flatten())
    x = torch.full((1, 1, 4, 4), torch.nan)

    run = SparseNetwork(traced(network.eval())).lanes(x)
    assert run is not None
    with torch.inference_mode():
        assert run(x).isnan().all()


class SqueezeAndExcitation(nn.Module):
    """A block of MobileNetV3: channels are scaled by a function of their means."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = sparse(nn.Conv2d(3, 8, 3, padding=1))
        self.act, self.gate = Activation(OPERATORS["hardswish"]), Activation(own("hardsigmoid"))
        self.pool, self.squeeze = nn.AdaptiveAvgPool2d(1), sparse(nn.Conv2d(8, 8, 1))
        self.depthwise, self.flat, self.last = nn.Conv2d(8, 8, 5, padding=2, groups=8), nn.Flatten(), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.stem(x))
        y = self.depthwise(self.gate(self.squeeze(self.pool(y))) * y)
        return self.last(self.flat(self.pool(y)))


@pytest.mark.parametrize("batch", [1, 3, 8, 20])
def test_channels_are_scaled_by_factors_of_their_own_image(batch: int) -> None:
    check(SqueezeAndExcitation(), random(batch, 3, 8, 8))
