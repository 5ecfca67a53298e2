"""Masks from scores: an exact number of weights is kept.

The same scores give the same masks on every device: of equal scores, the first in the order of ``prunable_parameters``
and of memory are pruned first. Every layer keeps at least one weight.
"""

from collections.abc import Iterator, Mapping
from math import prod
from types import MappingProxyType
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
from safs.pruning.held_zeros import capped_counts, check_held
from safs.pruning.largest import ascending, keep_largest, keep_largest_overall
from safs.pruning.layer_limits import NO_LIMITS, LayerLimits, check_limits
from safs.pruning.masks import Masks
from safs.pruning.selection import semi_structured, structured

Scores: TypeAlias = Mapping[str, Tensor]
"""Prunable parameter name -> score, not below 0, of the parameter's shape; larger is more important."""


NOTHING: Mapping[str, int] = MappingProxyType({})
"""No zero is held."""


def choose_masks(
    scores: Scores,
    live: int,
    *,
    distribution: str,
    granularity: str,
    limits: LayerLimits = NO_LIMITS,
    start: Masks | None = None,
) -> Masks:
    """Returns masks that keep exactly ``live`` weights: the highest scores that the two axes and ``limits`` allow.

    Args:
        start: masks of the weights that may be kept; None: all of them.
        granularity: ``weight``; a group of weights, see ``safs.pruning.selection.structured``; or a pattern n:m, see
            ``safs.pruning.selection.semi_structured``.

    Raises:
        UnknownNameError: no such distribution or granularity.
        SparsityError: a layer would have fewer weights than it must keep; the message says what to choose.
        SpecError: the two axes contradict each other, or a score is not finite.
    """
    if limits.zeros:
        return _choose_within(scores, live, distribution, granularity, limits, start)
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
        return _choose_weights(scores, live, spread, start)
    return structured.choose(scores, live, spread, kind, start)


def check_choice(
    shapes: Shapes, sparsity: float, *, distribution: str, granularity: str, limits: LayerLimits = NO_LIMITS
) -> None:
    """Raises the errors of ``choose_masks`` that follow from the shapes of the scores and the zeros that are held."""
    if limits.held:
        check_held(shapes, sparsity, limits.held)
    if limits.zeros:
        check_limits(shapes, sparsity, limits)
        for part, live in _parts(shapes, live_total(sum(map(prod, shapes.values())), sparsity), limits):
            spread = "global" if part[0] in limits.zeros else distribution
            _checked({name: shapes[name] for name in part}, live, spread, granularity, held=limits.held)
        return
    live = live_total(sum(map(prod, shapes.values())), sparsity)
    _checked(shapes, live, distribution, granularity, sparsity, limits.held)


def _choose_within(
    scores: Scores, live: int, distribution: str, granularity: str, limits: LayerLimits, start: Masks | None
) -> Masks:
    """Returns masks of the limited layers, each by itself, and of the free layers together."""
    masks = {name: torch.ones_like(score, dtype=torch.bool) for name, score in scores.items()} | (start or {})
    for part, left in _parts({name: score.shape for name, score in scores.items()}, live, limits):
        chosen = {name: scores[name] for name in part}
        spread = "global" if part[0] in limits.zeros else distribution
        own = None if start is None else {name: start[name] for name in part}
        masks |= choose_masks(chosen, left, distribution=spread, granularity=granularity, start=own)
    return masks


def _parts(shapes: Shapes, live: int, limits: LayerLimits) -> Iterator[tuple[list[str], int]]:
    """The layers that lose weights, in groups that are pruned together, with the live weights of each group."""
    fixed, sizes = limits.live_at(shapes, live), limits.sizes(shapes)
    free = [name for name in shapes if name not in fixed]
    yield from (([name], count) for name, count in fixed.items() if count < sizes[name])
    left = live - sum(fixed.values())
    if free and left < sum(sizes[name] for name in free):
        yield free, left


def _checked(
    shapes: Shapes,
    live: int,
    distribution: str,
    granularity: str,
    asked: float | None = None,
    held: Mapping[str, int] = NOTHING,
) -> tuple[Distribution, Granularity | Pattern]:
    """Returns the two axes by name, once it is checked that they can keep ``live`` weights."""
    spread, kind = DISTRIBUTIONS[distribution], granularity_named(granularity)
    check_not_empty(shapes)
    if isinstance(kind, Pattern):
        semi_structured.check(shapes, live, distribution, kind)
    else:
        least = structured.least(shapes, kind, LayerLimits({}, held).sizes(shapes))
        check_least(shapes, live, distribution, least, granularity=granularity, asked=asked)
    return spread, kind


def _choose_weights(scores: Scores, live: int, spread: Distribution, start: Masks | None) -> Masks:
    flat = {name: score.flatten() if start is None else score[start[name]] for name, score in scores.items()}
    if spread.live_counts is not None:
        sizes = {name: values.numel() for name, values in flat.items()}
        counts = capped_counts(spread, {name: score.shape for name, score in scores.items()}, live, sizes)
    elif spread.rescale is not None:
        counts = _counts_above_threshold({n: spread.rescale(ascending(values)) for n, values in flat.items()}, live)
    else:
        return _in_place(keep_largest_overall(flat, live), scores, start)
    return _in_place({name: keep_largest(values, counts[name]) for name, values in flat.items()}, scores, start)


def _in_place(kept: Masks, scores: Scores, start: Masks | None) -> Masks:
    """Returns the masks of the weights that may be kept, [n] each, as masks of the scores' shapes."""
    if start is None:
        return {name: kept[name].view_as(score) for name, score in scores.items()}
    return {name: torch.zeros_like(mask).masked_scatter_(mask, kept[name]) for name, mask in start.items()}


def _counts_above_threshold(rescaled: Scores, live: int) -> dict[str, int]:
    """Returns how many weights of each layer are among the ``live`` largest; rescaling keeps the order in a layer."""
    return {name: int(mask.count_nonzero()) for name, mask in keep_largest_overall(rescaled, live).items()}
