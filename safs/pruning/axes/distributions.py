"""Distributions: how the network's sparsity is spread over its layers, exact to the single weight.

``uniform`` and ``erk`` follow from the layers' shapes; ``global`` and ``lamp`` follow from the scores of the weights.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import floor, prod
from typing import TypeAlias

import torch
from torch import Tensor

from safs.errors import SparsityError, SpecError
from safs.registry import Registry

Shapes: TypeAlias = Mapping[str, torch.Size]
"""Parameter name -> shape, [out, in] or [out, in / groups, *kernel]."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A way to spread sparsity over layers."""

    summary: str
    live_counts: Callable[[Shapes, int], dict[str, int]] | None = None
    """(shapes, live weights in total) -> live weights by layer; None if one threshold on the scores decides."""
    rescale: Callable[[Tensor], Tensor] | None = None
    """A layer's scores in ascending order -> the ascending values the threshold applies to; None: the scores."""


def live_total(weights: int, sparsity: float) -> int:
    """Returns how many of ``weights`` are kept at ``sparsity``: all but ``round(sparsity * weights)``.

    >>> live_total(61_470, 0.99)
    615
    """
    return weights - round(sparsity * weights)


def sparsity_that_leaves(live: int, weights: int) -> float:
    """Returns the sparsity with the fewest digits at which ``live_total`` is ``live``.

    >>> sparsity_that_leaves(615, 61_470), sparsity_that_leaves(616, 61_470)
    (0.99, 0.98998)
    """
    exact = 1 - live / weights
    rounded = (round(exact, digits) for digits in range(1, 17))
    return next((sparsity for sparsity in rounded if live_total(weights, sparsity) == live), exact)


def largest_sparsity(failing: int, weights: int, works: Callable[[int], bool]) -> float:
    """Returns the largest sparsity whose live weights, more than ``failing``, satisfy ``works``; by bisection."""
    low, high = failing, weights
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle) else (middle, high)
    return sparsity_that_leaves(high, weights)


def live_counts(shapes: Shapes, sparsity: float, distribution: str) -> dict[str, int]:
    """Returns the live weights of each layer, at least one, which add up to ``live_total`` of all weights.

    Args:
        distribution: a distribution that follows from shapes (``uniform``, ``erk``).

    Raises:
        UnknownNameError: no such distribution.
        SparsityError: a layer would be left without weights.
        SpecError: the distribution depends on scores (``global``, ``lamp``).
    """
    counts = DISTRIBUTIONS[distribution].live_counts
    if counts is None:
        raise SpecError(
            f"distribution {distribution!r} depends on scores, not on shapes. Choose 'erk' or 'uniform'.",
            field="prune.distribution",
        )
    live = live_total(sum(map(prod, shapes.values())), sparsity)
    check_not_empty(shapes)
    check_least(shapes, live, distribution, dict.fromkeys(shapes, 1), asked=sparsity)
    return counts(shapes, live)


def check_not_empty(shapes: Shapes) -> None:
    """Raises SparsityError if there is no layer to prune."""
    if not shapes:
        raise SparsityError("the network has no convolution and no linear layer, so there is nothing to prune.")


def check_least(
    shapes: Shapes,
    live: int,
    distribution: str,
    least: Mapping[str, int],
    *,
    granularity: str = "weight",
    asked: float | None = None,
) -> None:
    """Checks that ``live`` weights, spread by ``distribution``, leave every layer with its ``least`` weights.

    Args:
        least: fewest weights of each layer, at least 1.
        granularity: the granularity from which ``least`` follows, for the message.
        asked: the sparsity to name in the message; None: the sparsity that leaves ``live``.

    Raises:
        UnknownNameError: no such distribution.
        SparsityError: a layer has fewer; the message names the layer and a sparsity that works.
    """
    counts = DISTRIBUTIONS[distribution].live_counts
    weights, needed = sum(map(prod, shapes.values())), sum(least.values())

    def short(total: int) -> list[str]:
        spread = {} if counts is None or total < needed else counts(shapes, total)
        return [name for name, count in spread.items() if count < least[name]]

    problem = f"sparsity {sparsity_that_leaves(live, weights) if asked is None else asked} "
    choices = [] if granularity == "weight" else ["the granularity 'weight'"]
    if live < needed:
        problem += f"leaves {live} of {weights} weights to {len(shapes)} layers, which need {needed} to keep one "
        problem += f"{granularity} each"
    elif counts is not None and (names := short(live)):
        name, others = names[0], f" ({len(names) - 1} other layers have too few as well)" if len(names) > 1 else ""
        left = f"{counts(shapes, live)[name]} of its {prod(shapes[name])} weights"
        problem += f"under the distribution {distribution!r} leaves layer {name!r} {left}, and by the granularity "
        problem += f"{granularity!r} it must keep {least[name]}{others}"
        choices.insert(0, "the distribution 'global'")
    else:
        return
    largest = largest_sparsity(live, weights, lambda more: more >= needed and not short(more))
    raise SparsityError(
        f"{problem}. Choose {', '.join([*choices, ''])}{'or ' if choices else ''}a sparsity of at most {largest}.",
        field="sparsity",
    )


def _uniform(shapes: Shapes, live: int) -> dict[str, int]:
    """Gives every layer the same sparsity to within one weight: rounds down, then up for the largest remainders."""
    sizes = {name: prod(shape) for name, shape in shapes.items()}
    weights = sum(sizes.values())
    counts = {name: size * live // weights for name, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda name: -(sizes[name] * live % weights))
    for name in by_remainder[: live - sum(counts.values())]:
        counts[name] += 1
    return counts


def _erk(shapes: Shapes, live: int) -> dict[str, int]:
    """Erdős-Rényi-Kernel: a layer's density is proportional to the sum of its dimensions over their product.

    Evci et al., "Rigging the Lottery" (2020), arXiv:1911.11134. As in the paper, layers whose density would exceed 1
    are dense and the factor is solved again. In addition, every layer keeps at least one weight and the total is exact.
    """
    sizes = {name: prod(shape) for name, shape in shapes.items()}
    shares = {name: float(sum(shape)) for name, shape in shapes.items()}
    exact = _clamped_shares(shares, sizes, live)
    counts = {name: min(sizes[name], max(1, floor(exact[name]))) for name in sizes}
    by_remainder = sorted(sizes, key=lambda name: counts[name] - exact[name])
    missing = live - sum(counts.values())
    step = 1 if missing > 0 else -1
    while missing:
        for name in by_remainder[::step]:
            if missing and 1 <= counts[name] + step <= sizes[name]:
                counts[name] += step
                missing -= step
    return counts


def _clamped_shares(shares: Mapping[str, float], sizes: Mapping[str, int], total: int) -> dict[str, float]:
    """Returns ``factor * share`` clamped to [1, size] for every layer, with the factor that makes the sum ``total``."""

    def clamped(factor: float) -> dict[str, float]:
        return {name: min(float(sizes[name]), max(1.0, factor * share)) for name, share in shares.items()}

    low, high = 0.0, float(max(sizes.values()))
    for _ in range(100):  # bisection, since the sum grows with the factor; 100 halvings exhaust a double
        middle = (low + high) / 2
        if sum(clamped(middle).values()) < total:
            low = middle
        else:
            high = middle
    return clamped(high)


def _lamp(ascending: Tensor) -> Tensor:
    """LAMP: the square of a score over the sum of the squares of all scores of its layer that are not smaller.

    score(u) = w_u^2 / sum over v >= u of w_v^2, with the weights in ascending order: the largest weight of a layer
    scores 1, all others at most 1/2. Lee, Park, Mo, Ahn, Shin, "Layer-Adaptive Sparsity for the Magnitude-based
    Pruning" (2021), arXiv:2010.07611. We apply it to any score in place of |w|.

    Args:
        ascending: [n], not below 0.

    Returns:
        [n], float64; 0 exactly where the score is 0.
    """
    largest = ascending[-1].double().clamp(min=torch.finfo(torch.float64).tiny)
    squares = (ascending.double() / largest).square_()
    not_smaller = squares.flip(0).cumsum(0).flip(0)
    lamp = squares.div_(not_smaller.clamp_(min=torch.finfo(torch.float64).tiny))
    return torch.where(ascending > 0, lamp.clamp_(min=torch.finfo(torch.float64).tiny), 0.0)


DISTRIBUTIONS: Registry[Distribution] = Registry(
    "distribution",
    {
        "global": Distribution("one threshold for the whole network; every layer keeps at least one weight"),
        "erk": Distribution("Erdős-Rényi-Kernel: small layers stay denser than large ones", _erk),
        "lamp": Distribution("one threshold for the network, on scores relative to their layer", rescale=_lamp),
        "uniform": Distribution("the same sparsity in every layer, as in the SAFS paper", _uniform),
    },
)
