"""DyReLU-B, a ReLU whose slopes depend on the input, and its phase-out to ReLU."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from safs.activations.surgery import find_sites, rewire
from safs.modes import in_mode

BRANCHES = 2
"""Number of linear functions whose maximum is the output: the paper's k."""


class DyReLU(nn.Module):
    """DyReLU-B: y_c = max over k of a_k,c x_c + b_k,c, with coefficients that two small layers compute from mean x.

    theta = 2 sigmoid(fc2(relu(fc1(mean x)))) - 1; (a_1, a_2, b_1, b_2) = (1, 0, 0, 0) + theta * (1, 1, 1/2, 1/2).

    ``beta`` in [0, 1] phases the function out: the coefficients become beta (a_1, ..., b_2) + (1 - beta) (1, 0, 0, 0),
    which is ReLU at beta = 0. After initialisation it is not ReLU; with ``fc2`` set to zero it would be.

    Chen et al., "Dynamic ReLU" (2020), arXiv:2003.10027. The phase-out is that of EAST: Li et al., "Pushing the Limits
    of Sparsity" (2025), arXiv:2411.13545.
    """

    def __init__(self, channels: int, beta: float = 1.0) -> None:
        super().__init__()
        squeezed = max(1, channels // 4)
        self.fc1 = nn.Linear(channels, squeezed)
        self.fc2 = nn.Linear(squeezed, 2 * BRANCHES * channels)
        self.beta = beta

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, ...] -> the same shape; the mean of [batch, channels] is ``x`` itself."""
        if self.beta == 0.0:
            return F.relu(x)
        mean = x.flatten(2).mean(2) if x.ndim > 2 else x
        theta = 2 * torch.sigmoid(self.fc2(F.relu(self.fc1(mean)))) - 1
        coefficients = theta.view(len(x), 2, BRANCHES, x.shape[1], *[1] * (x.ndim - 2))
        slopes, offsets = self.beta * coefficients[:, 0], self.beta / 2 * coefficients[:, 1]
        first = x * (slopes[:, 0] + 1) + offsets[:, 0]
        return torch.maximum(first, x * slopes[:, 1] + offsets[:, 1])

    def extra_repr(self) -> str:
        return f"channels={self.fc1.in_features}, beta={self.beta:g}"


def dynamic_relus(model: nn.Module, example: Tensor, seed: int) -> dict[str, DyReLU]:
    """A new DyReLU for each ReLU site of ``model``, by site path, for ``rewire(model, modules=...)``.

    Args:
        example: images [B, C, H, W] that the model accepts, on its device.
        seed: decides the weights of the DyReLUs; torch's global generator is unchanged.
    """
    channels = site_channels(model, example)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        relus = {site.path: DyReLU(channels[site.path]) for site in find_sites(model) if site.original == "relu"}
    return {path: relu.to(example.device) for path, relu in relus.items()}


def site_channels(model: nn.Module, example: Tensor) -> dict[str, int]:
    """Number of channels of each activation's input, its second dimension, by site path.

    Args:
        model: it is run in eval mode and is unchanged.
        example: images [B, C, H, W] that the model accepts, on its device.
    """
    channels: dict[str, int] = {}

    def record(path: str, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        channels[path] = inputs[0].shape[1]

    rewired = rewire(model)
    for path, activation in rewired.activations.items():
        activation.register_forward_pre_hook(partial(record, path))
    with torch.no_grad(), in_mode(rewired, training=False):
        rewired(example)
    return channels
