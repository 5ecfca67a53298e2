"""Zeros that the network starts with and that pruning keeps: ``prune.keep_zeros``.

Pruning then works on the weights that are not zero: a schedule begins at the sparsity of the start, and every mask is a
part of the first one.
"""

from collections.abc import Mapping
from math import prod

from torch import nn

from safs.errors import SparsityError, SpecError
from safs.pruning.axes.distributions import Distribution, Shapes, live_total, sparsity_that_leaves
from safs.pruning.layer_limits import path_of
from safs.pruning.masks import Masks, prunable_parameters
from safs.spec.pruning import PruneSpec


def start_masks(model: nn.Module, spec: PruneSpec) -> Masks | None:
    """Masks of the prunable weights of ``model`` that are not zero; None if ``spec`` does not keep zeros."""
    if not spec.keep_zeros:
        return None
    return {name: weight.detach() != 0 for name, weight in prunable_parameters(model).items()}


def zeros_of(start: Masks | None) -> dict[str, int]:
    """Number of zeros that each layer starts with and keeps; empty without ``start``."""
    return {name: mask.numel() - int(mask.count_nonzero()) for name, mask in (start or {}).items()}


def sparsity_beyond(sparsity: float, weights: int, zeros: int) -> float:
    """Fraction of the weights that are not zero yet, of which pruning leaves as many as ``sparsity`` of all leaves.

    >>> sparsity_beyond(0.75, 1000, 500)
    0.5
    """
    if zeros == 0:
        return sparsity
    return sparsity_that_leaves(live_total(weights, sparsity), weights - zeros)


def capped_counts(spread: Distribution, shapes: Shapes, live: int, most: Mapping[str, int]) -> dict[str, int]:
    """Live weights of each layer under a distribution that follows from shapes, and at most ``most`` of each.

    A layer that would keep more than ``most`` keeps that number, and the distribution spreads the others' weights
    again. The counts add up to ``live``.

    Args:
        live: at least the number of layers, at most the sum of ``most``.
    """
    assert spread.live_counts is not None
    fixed: dict[str, int] = {}
    free = dict(shapes)
    while free:
        counts = spread.live_counts(free, live - sum(fixed.values()))
        above = [name for name in free if counts[name] > most[name]]
        if not above:
            return {name: (fixed | counts)[name] for name in shapes}
        for name in above:
            fixed[name] = most[name]
            del free[name]
    return {name: fixed[name] for name in shapes}


def check_held(shapes: Shapes, sparsity: float, held: Mapping[str, int]) -> None:
    """Check that a network that keeps the zeros ``held`` can have the sparsity.

    Raises:
        SparsityError: more weights are zero already, or a layer has no other weight; the message has the numbers.
    """
    weights, zeros = sum(map(prod, shapes.values())), sum(held.values())
    wanted = weights - live_total(weights, sparsity)
    if zeros > wanted:
        raise SparsityError(
            f"sparsity {sparsity} leaves {wanted:,} of {weights:,} weights at zero, but {zeros:,} are zero at the "
            f"start, which prune.keep_zeros holds. Choose a sparsity of at least "
            f"{sparsity_that_leaves(weights - zeros, weights)}, or prune.keep_zeros: false.",
            field="sparsity",
        )
    if empty := [name for name, count in held.items() if count == prod(shapes[name])]:
        more = f" ({len(empty) - 1} other layers as well)" if len(empty) > 1 else ""
        raise SparsityError(
            f"all {held[empty[0]]:,} weights of {path_of(empty[0])!r} are zero at the start{more}, and every layer "
            "keeps at least one weight, so prune.keep_zeros cannot hold them. Choose prune.keep_zeros: false.",
            field="prune.keep_zeros",
        )


def refuse_keep_zeros(spec: PruneSpec, why: str) -> None:
    """Raise SpecError if ``spec`` keeps zeros, which is impossible because of ``why``."""
    if spec.keep_zeros:
        raise SpecError(
            f"prune.keep_zeros cannot be true: {why}. Leave it out, or choose prune.granularity 'weight' with a method "
            "that starts from dense weights, such as 'magnitude'.",
            field="prune.keep_zeros",
        )
