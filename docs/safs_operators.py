"""The activation operators of SAFS in one file that needs torch alone. Copy it into your project.

docs/using-results.md says how to put them into a network of your own.
"""

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def symlog(u: Tensor) -> Tensor:
    """sign(u) ln(|u| + 1), with derivative 1 at 0."""
    positive = u >= 0
    size = torch.log1p(torch.where(positive, u, -u))
    return torch.where(positive, size, -size)


def symexp(u: Tensor) -> Tensor:
    """sign(u) (exp(|u|) - 1) for |u| <= 10, and its tangent beyond."""
    positive = u >= 0
    size = torch.where(positive, u, -u)
    bounded = size.clamp(max=10.0)
    value = torch.expm1(bounded) + math.exp(10.0) * (size - bounded)
    return torch.where(positive, value, -value)


def scaled(f: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """The operator alpha * f(beta * x)."""
    return lambda x, alpha=1.0, beta=1.0: alpha * f(beta * x)


def swish(x: Tensor, alpha: float = 1.0, beta: float = 1.0) -> Tensor:
    """alpha x sigmoid(beta x)."""
    return alpha * x * torch.sigmoid(beta * x)


def tanhsoft1(x: Tensor, alpha: float = 1.0) -> Tensor:
    """tanh(alpha x) softplus(x)."""
    return torch.tanh(alpha * x) * F.softplus(x)


def srs(x: Tensor, alpha: float = 1.0, beta: float = 1.0) -> Tensor:
    """x / (x / alpha + exp(-x / beta)), with the exponent clamped to 40."""
    return x / (x / alpha + torch.exp((-x / beta).clamp(max=40.0)))


def acon(x: Tensor, p1: float = 1.0, p2: float = 1.0, beta: float = 1.0) -> Tensor:
    """(p1 - p2) x sigmoid(beta (p1 - p2) x) + p2 x."""
    gated = (p1 - p2) * x
    return gated * torch.sigmoid(beta * gated) + p2 * x


OPERATORS: dict[str, Callable[..., Tensor]] = {
    "relu6": scaled(F.relu6),
    "hardswish": scaled(F.hardswish),
    "swish": swish,
    "gelu": scaled(F.gelu),
    "elu": scaled(F.elu),
    "tanh": scaled(torch.tanh),
    "softplus": scaled(F.softplus),
    "logsigmoid": scaled(F.logsigmoid),
    "symlog": scaled(symlog),
    "symexp": scaled(symexp),
    "tanhsoft1": tanhsoft1,
    "srs": srs,
    "acon": acon,
    "relu": scaled(F.relu),
    "identity": scaled(lambda x: x),
}
"""Name in config.json and report.json -> function of the input and its scalars."""


class Activation(nn.Module):
    """One site: an operator with fixed scalars. It adds nothing to the state dict.

    Args:
        operator: a name of ``OPERATORS``, or the network's own function f, which becomes alpha * f(beta * x).
        scalars: ``scalars`` of the site in report.json.
    """

    def __init__(self, operator: str | Callable[[Tensor], Tensor], scalars: Mapping[str, float]) -> None:
        super().__init__()
        self.function = OPERATORS[operator] if isinstance(operator, str) else scaled(operator)
        self.scalars = dict(scalars)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, **self.scalars)
