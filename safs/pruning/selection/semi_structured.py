"""n of every m weights, exactly, in every full block of m consecutive weights of a row of [out, in * kernel].

Where a row is no multiple of m its last block is short. There at most n stay, so that the whole fits hardware that
pads rows, and how many do makes the total exact: they are filled from the largest score of all layers on.
"""

from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor

from safs.errors import SparsityError, SpecError
from safs.pruning.axes.distributions import Shapes, live_total, sparsity_that_leaves
from safs.pruning.axes.granularity import Pattern
from safs.pruning.largest import keep_largest, keep_largest_of_rows
from safs.pruning.masks import Masks

SUITABLE = ("global", "uniform")
"""Distributions that a pattern, which gives all layers the same density, does not contradict."""


def choose(scores: Mapping[str, Tensor], live: int, pattern: Pattern) -> Masks:
    """Masks of exactly ``live`` weights; ``check`` must have passed."""
    masks, candidates = {}, {}
    for name, score in scores.items():
        rows = score.flatten(1)
        full, short = _cut(rows, pattern)
        kept = keep_largest_of_rows(full.reshape(-1, pattern.block), pattern.kept).view_as(full)
        allowed = keep_largest_of_rows(short, min(pattern.kept, short.shape[1]))
        masks[name] = torch.cat([kept, torch.zeros_like(allowed)], 1)
        values = torch.where(allowed, short, -1.0).flatten()
        if full.numel() == 0:
            values[values.argmax()] = torch.inf
        candidates[name] = values
    filled = keep_largest(
        torch.cat(list(candidates.values())), live - sum(int(mask.count_nonzero()) for mask in masks.values())
    )
    parts = filled.split([values.numel() for values in candidates.values()])
    for mask, part in zip(masks.values(), parts, strict=True):
        short = _cut(mask, pattern)[1]
        short.copy_(part.view_as(short))
    return {name: mask.view_as(scores[name]) for name, mask in masks.items()}


def check(shapes: Shapes, live: int, distribution: str, pattern: Pattern) -> None:
    """Raises SpecError for a distribution that contradicts ``pattern``, SparsityError where it cannot keep ``live``."""
    if distribution not in SUITABLE:
        raise SpecError(
            f"granularity '{pattern}' gives every layer the same density, which the distribution {distribution!r} does "
            f"not. Choose the distribution {' or '.join(map(repr, SUITABLE))}.",
            field="prune.distribution",
        )
    weights = sum(map(prod, shapes.values()))
    bounds = [_bounds(torch.Size(shape), pattern) for shape in shapes.values()]
    fewest, most = sum(low for low, _ in bounds), sum(high for _, high in bounds)
    if fewest <= live <= most:
        return
    nearest = min(max(live_total(weights, 1 - pattern.kept / pattern.block), fewest), most)
    raise SparsityError(
        f"sparsity {sparsity_that_leaves(live, weights)} leaves {live} of {weights} weights; with the granularity "
        f"'{pattern}' {fewest if fewest == most else f'{fewest} to {most}'} stay. Choose the sparsity "
        f"{sparsity_that_leaves(nearest, weights)}, or the granularity 'weight'.",
        field="sparsity",
    )


def _cut(rows: Tensor, pattern: Pattern) -> tuple[Tensor, Tensor]:
    """Views of [out, n]: the columns of the full blocks, and those of the short ones."""
    end = rows.shape[1] // pattern.block * pattern.block
    return rows[:, :end], rows[:, end:]


def _bounds(shape: torch.Size, pattern: Pattern) -> tuple[int, int]:
    """The fewest and the most weights that a layer keeps."""
    outputs, length = shape[0], shape[1:].numel()
    in_full = outputs * (length // pattern.block) * pattern.kept
    return max(1, in_full), in_full + outputs * min(pattern.kept, length % pattern.block)
