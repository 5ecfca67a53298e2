"""Gradient flow: the gradient norm over the live weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import hypot

import torch
import torch.nn.functional as F
from torch import nn

from safs.data.split import Split
from safs.modes import in_mode


@dataclass(frozen=True, slots=True)
class GradientFlow:
    """L2 norms of the loss's gradient over live weights."""

    total: float
    layers: dict[str, float]
    """Norms by parameter name; their squares add up to the square of ``total``."""


def measure_gradient_flow(
    model: nn.Module, prunable: Mapping[str, nn.Parameter], split: Split, *, batch_size: int, device: torch.device
) -> GradientFlow:
    """||g|| by layer and in total, where g is the gradient of the mean cross-entropy over ``split``, in eval mode.

    Only live weights (those that are not exactly zero) count, because pruned weights cannot follow their gradient. To
    first order, a step of size eps lowers the loss by eps ||g||^2: Evci, Ioannou, Keskin, Dauphin, "Gradient Flow in
    Sparse Neural Networks and How Lottery Tickets Win" (2020), arXiv:2010.03533.

    Args:
        model: network on ``device``; neither it nor the ``grad`` of its parameters is changed.
        prunable: parameters of ``model`` that require a gradient, each once; the uses of a shared one add up.
    """
    weights = list(prunable.values())
    sums = [torch.zeros_like(weight) for weight in weights]
    with in_mode(model, False), torch.enable_grad():
        for images, labels in split.batches(batch_size, device=device):
            loss = F.cross_entropy(model(images).float(), labels, reduction="sum") / len(split)
            for total, gradient in zip(sums, torch.autograd.grad(loss, weights, materialize_grads=True), strict=True):
                total += gradient
    norms = [float((total * (weight != 0)).norm()) for total, weight in zip(sums, weights, strict=True)]
    return GradientFlow(hypot(*norms), dict(zip(prunable, norms, strict=True)))
