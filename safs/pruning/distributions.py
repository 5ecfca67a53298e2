"""How one sparsity for the whole network is spread over its layers, exact to the single weight.

``uniform`` and ``erk`` follow from the layers' shapes alone; ``global`` follows from the scores of the weights.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import floor, prod
from typing import TypeAlias

import torch

from safs.errors import SparsityError, SpecError
from safs.registry import Registry
from safs.spec import PruneSpec

Shapes: TypeAlias = Mapping[str, torch.Size]
"""Parameter name -> shape, [out, in] or [out, in / groups, *kernel]."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A way to spread sparsity over layers."""

    summary: str
    live_counts: Callable[[Shapes, float], dict[str, int]] | None
    """(shapes, sparsity) -> weights kept by name; None where the scores decide."""


def live_total(weights: int, sparsity: float) -> int:
    """How many of ``weights`` are kept at ``sparsity``: all but ``round(sparsity * weights)``.

    >>> live_total(61_470, 0.99)
    615
    """
    return weights - round(sparsity * weights)


def live_counts(shapes: Shapes, sparsity: float, distribution: str) -> dict[str, int]:
    """Weights kept by layer; they add up to ``live_total`` of all weights, and no layer gets none.

    Args:
        distribution: one that shapes alone decide (``uniform``, ``erk``).

    Raises:
        UnknownNameError: no such distribution.
        SparsityError: a layer would be left without weights.
        SpecError: the distribution depends on the weights (``global``).
    """
    counts = DISTRIBUTIONS[distribution].live_counts
    if counts is None:
        raise SpecError(
            f"distribution {distribution!r} depends on the weights, not on shapes.", field="prune.distribution"
        )
    _check_one_weight_a_layer(shapes, sparsity)
    return counts(shapes, sparsity)


def check_sparsity(shapes: Shapes, sparsity: float, spec: PruneSpec) -> None:
    """Raises where ``spec.distribution`` cannot give a network of these shapes this sparsity; needs no weights.

    A method's own options are not looked at: ``PRUNERS[spec.method].check`` does both.

    Raises:
        UnknownNameError: no such distribution.
        SparsityError: a layer would be left without weights; the message names it and what to choose.
    """
    _check_one_weight_a_layer(shapes, sparsity)
    if DISTRIBUTIONS[spec.distribution].live_counts is not None:
        live_counts(shapes, sparsity, spec.distribution)


def _uniform(shapes: Shapes, sparsity: float) -> dict[str, int]:
    """The same sparsity in every layer, rounded as ``torch.nn.utils.prune.l1_unstructured`` rounds.

    The layers' rounding errors add up to a few weights; the largest layers take or give one each: the total is exact.
    """
    sizes = {name: prod(shape) for name, shape in shapes.items()}
    counts = {name: live_total(size, sparsity) for name, size in sizes.items()}
    _check_no_layer_emptied(sizes, counts, sparsity)
    missing = live_total(sum(sizes.values()), sparsity) - sum(counts.values())
    step = 1 if missing > 0 else -1
    while missing:
        for name in sorted(sizes, key=lambda name: -sizes[name]):
            if missing and 1 <= counts[name] + step <= sizes[name]:
                counts[name] += step
                missing -= step
    return counts


def _erk(shapes: Shapes, sparsity: float) -> dict[str, int]:
    """Erdős-Rényi-Kernel: a layer's density is proportional to the sum over the product of its dimensions.

    Evci et al., "Rigging the Lottery" (2020), arXiv:1911.11134. Layers that would pass density 1 are dense and the
    factor is solved again, as there; besides, every layer keeps at least one weight and the total is exact.
    """
    sizes = {name: prod(shape) for name, shape in shapes.items()}
    shares = {name: float(sum(shape)) for name, shape in shapes.items()}
    total = live_total(sum(sizes.values()), sparsity)
    exact = _clamped_shares(shares, sizes, total)
    counts = {name: min(sizes[name], max(1, floor(exact[name]))) for name in sizes}
    by_remainder = sorted(sizes, key=lambda name: counts[name] - exact[name])
    missing = total - sum(counts.values())
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


def _check_one_weight_a_layer(shapes: Shapes, sparsity: float) -> None:
    weights = sum(prod(shape) for shape in shapes.values())
    if not shapes:
        raise SparsityError("the network has no convolution and no linear layer, so there is nothing to prune.")
    if (live := live_total(weights, sparsity)) < len(shapes):
        largest = _round_down((weights - len(shapes)) / weights)
        raise SparsityError(
            f"sparsity {sparsity} leaves {live} of {weights} weights to {len(shapes)} layers, each of which must keep "
            f"one. Choose a sparsity of at most {largest}.",
            field="sparsity",
        )


def _check_no_layer_emptied(sizes: Mapping[str, int], counts: Mapping[str, int], sparsity: float) -> None:
    emptied = [name for name, count in counts.items() if count == 0]
    if not emptied:
        return
    smallest = min(sizes.values())
    largest = _round_down((smallest - 0.5) / smallest)
    while live_total(smallest, largest) == 0:  # Half a weight is rounded to even, which may still empty the layer.
        largest = round(largest - 1e-6, 6)
    others = f" (and {len(emptied) - 1} more)" if len(emptied) > 1 else ""
    raise SparsityError(
        f"sparsity {sparsity} under the distribution 'uniform' leaves layer {emptied[0]!r}{others} without weights "
        f"(it has {sizes[emptied[0]]}). Choose the distribution 'global' or 'erk', or a sparsity of at most {largest}.",
        field="sparsity",
    )


def _round_down(sparsity: float) -> float:
    return floor(sparsity * 1e6) / 1e6


DISTRIBUTIONS: Registry[Distribution] = Registry(
    "distribution",
    {
        "global": Distribution("one threshold for the whole network; every layer keeps at least one weight", None),
        "erk": Distribution("Erdős-Rényi-Kernel: small layers stay denser than large ones", _erk),
        "uniform": Distribution("the same sparsity in every layer, as SAFS was published", _uniform),
    },
)
