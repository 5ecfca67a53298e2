"""An activation behind a sparse convolution: a factor and a clamp that the convolution applies itself, then a function.

alpha * relu(beta x) is a clamp of x times alpha * beta. For other operators, the convolution multiplies by beta, and
the function works in place on parts that fit into a core's cache.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from safs.activations.module import Activation
from safs.activations.operators import Scaled

_CACHED_VALUES = 2**16
"""Values that are worked on at once: 256 KB."""


@dataclass(frozen=True, slots=True)
class FusedActivation:
    """scale * function(gain * clamp(x, low, high))."""

    low: float = -inf
    high: float = inf
    gain: float = 1.0
    function: Callable[[Tensor], Tensor] | None = None
    """Works in place where torch can; None is the identity."""
    scale: float = 1.0
    keeps_zero: bool = True

    def finish(self, data: Tensor, mask: Tensor) -> Tensor:
        """Apply what the convolution has not: the function and the scale, to channels [channels, values] in place."""
        if self.function is None:
            return data
        step = max(1, _CACHED_VALUES // data.shape[1])
        for first in range(0, len(data), step):
            part = data[first : first + step]
            result = self.function(part)
            if self.scale != 1.0:
                result.mul_(self.scale)
            if not self.keeps_zero:
                result.mul_(mask)
            if result is not part:
                part.copy_(result)
        return data


def fused(activation: Activation) -> FusedActivation:
    """The activation as a convolution applies it."""
    name, scalars = activation.operator.name, activation.scalars()
    alpha, beta = scalars.get("alpha", 1.0), scalars.get("beta", 1.0)
    match name:
        case "identity":
            return FusedActivation(gain=alpha * beta)
        case "relu" | "relu6" if beta != 0:
            limit = (6.0 if name == "relu6" else inf) / beta
            return FusedActivation(min(0.0, limit), max(0.0, limit), alpha * beta)
        case "swish" if beta != 0:
            return FusedActivation(gain=beta, function=_silu, scale=alpha / beta)
    keeps_zero = bool(activation(torch.zeros(1)).abs().max() == 0)
    function = activation.operator.function
    if isinstance(function, Scaled) and name in _IN_PLACE:
        return FusedActivation(gain=beta, function=_IN_PLACE[name], scale=alpha, keeps_zero=keeps_zero)
    return FusedActivation(function=activation, keeps_zero=keeps_zero)


def _silu(x: Tensor) -> Tensor:
    return F.silu(x, inplace=True)


def _elu(x: Tensor) -> Tensor:
    return F.elu(x, inplace=True)


def _hardswish(x: Tensor) -> Tensor:
    return F.hardswish(x, inplace=True)


def _tanh(x: Tensor) -> Tensor:
    return x.tanh_()


def _gelu(x: Tensor) -> Tensor:
    gelu: Any = torch.ops.aten.gelu_
    result: Tensor = gelu(x)
    return result


_IN_PLACE: dict[str, Callable[[Tensor], Tensor]] = {
    "elu": _elu,
    "hardswish": _hardswish,
    "tanh": _tanh,
    "gelu": _gelu,
}
