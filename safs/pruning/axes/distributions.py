"""How one sparsity for the whole network is spread over its layers, exact to the single weight.

``uniform`` and ``erk`` follow from the layers' shapes alone; ``global`` and ``lamp`` from the scores of the weights.
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
    """(shapes, weights kept in all) -> weights kept by name; None where the scores decide, by one threshold."""
    rescale: Callable[[Tensor], Tensor] | None = None
    """A layer's scores in ascending order -> what the threshold is put to, ascending too; None: the scores."""


def live_total(weights: int, sparsity: float) -> int:
    """How many of ``weights`` are kept at ``sparsity``: all but ``round(sparsity * weights)``.

    >>> live_total(61_470, 0.99)
    615
    """
    return weights - round(sparsity * weights)


def sparsity_that_leaves(live: int, weights: int) -> float:
    """The sparsity of the fewest digits at which ``live_total`` is ``live``.

    >>> sparsity_that_leaves(615, 61_470), sparsity_that_leaves(616, 61_470)
    (0.99, 0.98998)
    """
    exact = 1 - live / weights
    rounded = (round(exact, digits) for digits in range(1, 17))
    return next((sparsity for sparsity in rounded if live_total(weights, sparsity) == live), exact)


def largest_sparsity(failing: int, weights: int, works: Callable[[int], bool]) -> float:
    """The largest sparsity whose live weights, more than ``failing``, satisfy ``works``; by bisection."""
    low, high = failing, weights
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle) else (middle, high)
    return sparsity_that_leaves(high, weights)


def live_counts(shapes: Shapes, sparsity: float, distribution: str) -> dict[str, int]:
    """Weights kept by layer; they add up to ``live_total`` of all weights, and no layer gets none.

    Args:
        distribution: one that shapes alone decide (``uniform``, ``erk``).

    Raises:
        UnknownNameError: no such distribution.
        SparsityError: a layer would be left without weights.
        SpecError: the distribution depends on the weights (``global``, ``lamp``).
    """
    counts = DISTRIBUTIONS[distribution].live_counts
    if counts is None:
        raise SpecError(
            f"distribution {distribution!r} depends on the weights, not on shapes.", field="prune.distribution"
        )
    live = live_total(sum(map(prod, shapes.values())), sparsity)
    check_not_empty(shapes)
    check_least(shapes, live, distribution, dict.fromkeys(shapes, 1), asked=sparsity)
    return counts(shapes, live)


def check_not_empty(shapes: Shapes) -> None:
    """Raises SparsityError where there is nothing to prune."""
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
    """Raises where ``live`` weights, spread by ``distribution``, leave a layer with fewer than its ``least``.

    Args:
        least: by layer, at least 1.
        granularity: by which the least are told.
        asked: the sparsity to blame; None for the one that leaves ``live``.

    Raises:
        UnknownNameError: no such distribution.
        SparsityError: the message names the layer, and a sparsity that works.
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
    """The same sparsity in every layer, to within one weight: shares rounded down, the largest remainders up."""
    sizes = {name: prod(shape) for name, shape in shapes.items()}
    weights = sum(sizes.values())
    counts = {name: size * live // weights for name, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda name: -(sizes[name] * live % weights))
    for name in by_remainder[: live - sum(counts.values())]:
        counts[name] += 1
    return counts


def _erk(shapes: Shapes, live: int) -> dict[str, int]:
    """Erdős-Rényi-Kernel: a layer's density is proportional to the sum over the product of its dimensions.

    Evci et al., "Rigging the Lottery" (2020), arXiv:1911.11134. Layers that would pass density 1 are dense and the
    factor is solved again, as there; besides, every layer keeps at least one weight and the total is exact.
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
    """``factor * share`` clamped to [1, size] in every layer, with the factor at which they add up to ``total``."""

    def clamped(factor: float) -> dict[str, float]:
        return {name: min(float(sizes[name]), max(1.0, factor * share)) for name, share in shares.items()}

    low, high = 0.0, float(max(sizes.values()))
    for _ in range(100):  # Bisection: the sum grows with the factor. 100 halvings exhaust a double.
        middle = (low + high) / 2
        if sum(clamped(middle).values()) < total:
            low = middle
        else:
            high = middle
    return clamped(high)


def _lamp(ascending: Tensor) -> Tensor:
    """LAMP: the square of a weight over the sum of the squares of all that are not smaller, in its layer.

    score(u) = w_u^2 / sum over v >= u of w_v^2, with the weights in ascending order: the largest of every layer gets 1,
    and all others at most 1/2. Lee, Park, Mo, Ahn, Shin, "Layer-Adaptive Sparsity for the Magnitude-based Pruning"
    (2021), arXiv:2010.07611. Here of any score in place of |w|.

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
        "lamp": Distribution("one threshold, once scores are measured by their own layer", rescale=_lamp),
        "uniform": Distribution("the same sparsity in every layer, as SAFS was published", _uniform),
    },
)
