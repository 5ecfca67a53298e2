"""The activation operators that a search chooses from, as pure functions of an input and a few scalars.

Scalars are 0-dimensional and start at 1, unless the operator says otherwise. ``alpha`` scales an operator's output and
``beta`` its input, as in SAFS (Loni et al. 2023, arXiv:2305.10964). Three operators have scalars that belong to the
operator and are always learned.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from safs.registry import Registry

SYMEXP_LINEAR_FROM = 10.0
"""Input size from which symexp is linear; e^10 = 22,026 still fits float16."""
SRS_LARGEST_EXPONENT = 40.0
"""Largest exponent in srs: less than half of float32's 88.7, since a quotient's derivative squares its denominator."""


@dataclass(frozen=True, slots=True)
class Operator:
    """An elementwise activation function."""

    name: str
    function: Callable[..., Tensor]
    """(x, *scalars) -> a new tensor of the shape and dtype of x."""
    scalars: tuple[str, ...]
    """Names of the scalars, in the order in which ``function`` takes them."""
    plain: Callable[[Tensor], Tensor] | None
    """``function`` with all scalars 1, without the multiplications; None if the scalars are always learned."""
    formula: str
    summary: str
    source: str
    always_trainable: bool = False
    """True if the scalars are learned even in stage 1, since they belong to the operator and not to SAFS."""
    start: Mapping[str, float] = field(default_factory=dict)
    """Scalar -> initial value, for scalars that do not start at 1."""


def symlog(u: Tensor) -> Tensor:
    """sign(u) ln(|u| + 1), with its exact derivative of 1 at 0."""
    positive = u >= 0
    size = torch.log1p(_magnitude(u, positive))
    return torch.where(positive, size, -size)


def symexp(u: Tensor) -> Tensor:
    """sign(u) (exp(|u|) - 1) for |u| <= 10, and its tangent beyond, so that deep networks do not overflow.

    Value and derivative are continuous at |u| = 10. The derivative at 0 is exactly 1.
    """
    positive = u >= 0
    size = _magnitude(u, positive)
    bounded = size.clamp(max=SYMEXP_LINEAR_FROM)
    value = torch.expm1(bounded) + math.exp(SYMEXP_LINEAR_FROM) * (size - bounded)
    return torch.where(positive, value, -value)


def tanhsoft1(x: Tensor, alpha: Tensor) -> Tensor:
    """TanhSoft-1: tanh(alpha x) * softplus(x).

    Biswas, Kumar, Banerjee, Pandey, "TanhSoft" (2020), arXiv:2009.03863. SAFS's code gives it a second, unused scalar;
    the published function has one.
    """
    return torch.tanh(alpha * x) * F.softplus(x)


def srs(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """Soft-root-sign: x / (x / alpha + exp(-x / beta)).

    The exponent is clamped to 40, where the value is below 1e-15, so that large negative inputs have a gradient of 0
    instead of NaN. The denominator has no zero if alpha > beta / e.

    Zhou, Li, Wang, "Soft-Root-Sign" (2020), arXiv:2003.00547.
    """
    return x / (x / alpha + torch.exp((-x / beta).clamp(max=SRS_LARGEST_EXPONENT)))


def acon(x: Tensor, p1: Tensor, p2: Tensor, beta: Tensor) -> Tensor:
    """ACON-C: (p1 - p2) x * sigmoid(beta (p1 - p2) x) + p2 x. It starts at p1 = 1 and p2 = 0, where it is swish.

    SAFS starts at p1 = p2 = 1, the identity. There p1 and p2 have equal gradients and beta has none, so that acon stays
    a multiple of the identity however long it learns.

    Ma, Zhang, Liu, Sun, "Activate or Not" (2021), arXiv:2009.04759.
    """
    gated = (p1 - p2) * x
    return gated * torch.sigmoid(beta * gated) + p2 * x


def swish(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """Swish: alpha * x * sigmoid(beta x). beta scales the input of the sigmoid only.

    Ramachandran, Zoph, Le, "Searching for Activation Functions" (2017), arXiv:1710.05941.
    """
    return alpha * x * torch.sigmoid(beta * x)


@dataclass(frozen=True, slots=True)
class Scaled:
    """alpha * f(beta * x) for an elementwise f."""

    f: Callable[[Tensor], Tensor]

    def __call__(self, x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
        return alpha * self.f(beta * x)


def scaled(name: str, f: Callable[[Tensor], Tensor], formula: str, summary: str, source: str) -> Operator:
    """The operator alpha * f(beta * x)."""
    return Operator(name, Scaled(f), ("alpha", "beta"), f, formula, summary, source)


def _magnitude(u: Tensor, positive: Tensor) -> Tensor:
    """|u| with derivative 1 at 0. abs() has derivative 0 there, and pruned networks have many inputs of exactly 0."""
    return torch.where(positive, u, -u)


def _same(x: Tensor) -> Tensor:
    return x


OPERATORS: Registry[Operator] = Registry(
    "operator",
    {
        operator.name: operator
        for operator in (
            scaled(
                "relu6",
                F.relu6,
                "alpha * min(max(beta x, 0), 6)",
                "A ReLU that saturates at 6.",
                "Krizhevsky, Convolutional Deep Belief Networks on CIFAR-10 (2010)",
            ),
            scaled(
                "hardswish",
                F.hardswish,
                "alpha * beta x * relu6(beta x + 3) / 6",
                "A piecewise approximation of Swish.",
                "Howard et al., Searching for MobileNetV3 (2019), arXiv:1905.02244",
            ),
            Operator(
                "swish",
                swish,
                ("alpha", "beta"),
                F.silu,
                "alpha * x * sigmoid(beta x)",
                "Smooth, slightly negative below zero, unbounded above.",
                "Ramachandran et al. (2017), arXiv:1710.05941",
            ),
            scaled(
                "gelu",
                F.gelu,
                "alpha * beta x * Phi(beta x)",
                "The input times the normal distribution's cumulative probability.",
                "Hendrycks and Gimpel (2016), arXiv:1606.08415",
            ),
            scaled(
                "elu",
                F.elu,
                "alpha * (beta x if beta x > 0 else exp(beta x) - 1)",
                "Linear above zero, saturates at -1 below.",
                "Clevert et al. (2015), arXiv:1511.07289",
            ),
            scaled(
                "tanh",
                torch.tanh,
                "alpha * tanh(beta x)",
                "Odd, saturates on both sides.",
                "LeCun et al., Efficient BackProp (1998)",
            ),
            scaled(
                "softplus",
                F.softplus,
                "alpha * ln(1 + exp(beta x))",
                "A smooth ReLU, always positive.",
                "Dugas et al., Incorporating Second-Order Functional Knowledge (2001)",
            ),
            scaled(
                "logsigmoid",
                F.logsigmoid,
                "alpha * ln(sigmoid(beta x))",
                "Mirrored softplus, always negative.",
                "Loni et al. (2023), arXiv:2305.10964",
            ),
            scaled(
                "symlog",
                symlog,
                "alpha * sign(beta x) * ln(|beta x| + 1)",
                "Odd, grows like a logarithm.",
                "Loni et al. (2023), arXiv:2305.10964",
            ),
            scaled(
                "symexp",
                symexp,
                "alpha * sign(beta x) * (exp(|beta x|) - 1), linear beyond |beta x| = 10",
                "Odd, grows like an exponential.",
                "Loni et al. (2023), arXiv:2305.10964",
            ),
            Operator(
                "tanhsoft1",
                tanhsoft1,
                ("alpha",),
                None,
                "tanh(alpha x) * ln(1 + exp(x))",
                "Softplus times tanh; alpha is always learned.",
                "Biswas et al. (2020), arXiv:2009.03863",
                always_trainable=True,
            ),
            Operator(
                "srs",
                srs,
                ("alpha", "beta"),
                None,
                "x / (x / alpha + exp(-x / beta))",
                "Bounded above by alpha, tends to zero below; both scalars are always learned.",
                "Zhou et al. (2020), arXiv:2003.00547",
                always_trainable=True,
            ),
            Operator(
                "acon",
                acon,
                ("p1", "p2", "beta"),
                None,
                "(p1 - p2) x * sigmoid(beta (p1 - p2) x) + p2 x",
                "Learns how much to activate, starts as swish; all three scalars are always learned.",
                "Ma et al. (2021), arXiv:2009.04759",
                always_trainable=True,
                start={"p2": 0.0},
            ),
            scaled(
                "relu",
                F.relu,
                "alpha * max(beta x, 0)",
                "Zero below zero, the identity above; the usual default.",
                "Nair and Hinton, Rectified Linear Units (2010)",
            ),
            scaled("identity", _same, "alpha * beta x", "No activation function.", "The baseline"),
        )
    },
)
"""SAFS's thirteen candidates, with relu and identity, which let a search return a baseline."""
