"""Masks from scores: an exact number of weights is kept.

The same scores give the same masks on every device: of equal scores, the first in the order of ``prunable_parameters``
and of memory are pruned first. Every layer keeps at least one weight.
"""

from collections.abc import Iterator, Mapping
from math import prod
from typing import TypeAlias

import torch
from torch import Tensor

from safs.errors import SpecError
from safs.pruning.axes.distributions import (
    DISTRIBUTIONS,
    Distribution,
    Shapes,
    check_least,
    check_not_empty,
    live_total,
)
from safs.pruning.axes.granularity import GRANULARITIES, Granularity, Pattern, granularity_named
from safs.pruning.largest import ascending, keep_largest, keep_largest_overall
from safs.pruning.layer_limits import LayerLimits, check_limits
from safs.pruning.masks import Masks
from safs.pruning.selection import semi_structured, structured

Scores: TypeAlias = Mapping[str, Tensor]
"""Prunable parameter name -> score, not below 0, of the parameter's shape; larger is more important."""


NO_LIMITS = LayerLimits({})
"""No layer is excluded or has a sparsity of its own."""


def choose_masks(
    scores: Scores, live: int, *, distribution: str, granularity: str, limits: LayerLimits = NO_LIMITS
) -> Masks:
    """Returns masks that keep exactly ``live`` weights: the highest scores that the two axes and ``limits`` allow.

    Args:
        granularity: ``weight``; a group of weights, see ``safs.pruning.selection.structured``; or a pattern n:m, see
            ``safs.pruning.selection.semi_structured``.

    Raises:
        UnknownNameError: no such distribution or granularity.
        SparsityError: a layer would have fewer weights than it must keep; the message says what to choose.
        SpecError: the two axes contradict each other, or a score is not finite.
    """
    if limits.zeros:
        return _choose_within(scores, live, distribution, granularity, limits)
    spread, kind = _checked({name: score.shape for name, score in scores.items()}, live, distribution, granularity)
    for name, score in scores.items():
        if not bool(torch.isfinite(score).all()):
            raise SpecError(
                f"a score of {name!r} is not finite, so the network's weights have diverged or overflow under this "
                "score. Choose another prune.score, or other weights.",
                field="prune.score",
            )
    if isinstance(kind, Pattern):
        return semi_structured.choose(scores, live, kind)
    if kind is GRANULARITIES["weight"]:
        return _choose_weights(scores, live, spread)
    return structured.choose(scores, live, spread, kind)


def check_choice(
    shapes: Shapes, sparsity: float, *, distribution: str, granularity: str, limits: LayerLimits = NO_LIMITS
) -> None:
    """Raises the errors of ``choose_masks`` that follow from the shapes of the scores alone."""
    if limits.zeros:
        check_limits(shapes, sparsity, limits)
        for part, live in _parts(shapes, live_total(sum(map(prod, shapes.values())), sparsity), limits):
            spread = "global" if part[0] in limits.zeros else distribution
            _checked({name: shapes[name] for name in part}, live, spread, granularity)
        return
    _checked(shapes, live_total(sum(map(prod, shapes.values())), sparsity), distribution, granularity, sparsity)


def _choose_within(scores: Scores, live: int, distribution: str, granularity: str, limits: LayerLimits) -> Masks:
    """Returns masks of the limited layers, each by itself, and of the free layers together."""
    masks = {name: torch.ones_like(score, dtype=torch.bool) for name, score in scores.items()}
    for part, left in _parts({name: score.shape for name, score in scores.items()}, live, limits):
        chosen = {name: scores[name] for name in part}
        spread = "global" if part[0] in limits.zeros else distribution
        masks |= choose_masks(chosen, left, distribution=spread, granularity=granularity)
    return masks


def _parts(shapes: Shapes, live: int, limits: LayerLimits) -> Iterator[tuple[list[str], int]]:
    """The layers that lose weights, in groups that are pruned together, with the live weights of each group."""
    fixed = limits.live_at(shapes, live)
    free = [name for name in shapes if name not in fixed]
    yield from (([name], count) for name, count in fixed.items() if count < prod(shapes[name]))
    left = live - sum(fixed.values())
    if free and left < sum(prod(shapes[name]) for name in free):
        yield free, left


def _checked(
    shapes: Shapes, live: int, distribution: str, granularity: str, asked: float | None = None
) -> tuple[Distribution, Granularity | Pattern]:
    """Returns the two axes by name, once it is checked that they can keep ``live`` weights."""
    spread, kind = DISTRIBUTIONS[distribution], granularity_named(granularity)
    check_not_empty(shapes)
    if isinstance(kind, Pattern):
        semi_structured.check(shapes, live, distribution, kind)
    else:
        check_least(shapes, live, distribution, structured.least(shapes, kind), granularity=granularity, asked=asked)
    return spread, kind


def _choose_weights(scores: Scores, live: int, spread: Distribution) -> Masks:
    if spread.live_counts is not None:
        counts = spread.live_counts({name: score.shape for name, score in scores.items()}, live)
    elif spread.rescale is not None:
        counts = _counts_above_threshold({n: spread.rescale(ascending(s.flatten())) for n, s in scores.items()}, live)
    else:
        return keep_largest_overall(scores, live)
    return {name: keep_largest(score.flatten(), counts[name]).view_as(score) for name, score in scores.items()}


def _counts_above_threshold(rescaled: Scores, live: int) -> dict[str, int]:
    """Returns how many weights of each layer are among the ``live`` largest; rescaling keeps the order in a layer."""
    return {name: int(mask.count_nonzero()) for name, mask in keep_largest_overall(rescaled, live).items()}
