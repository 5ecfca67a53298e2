"""n:m sparsity: n of every m consecutive input channels are kept, at each output and each position of the kernel.

This is the layout of sparse tensor cores, which multiply along the input channels (NVIDIA's ASP permutes convolutions
in the same way). A weight [out, in / groups, *kernel] is taken as a matrix [out * kernel, in / groups], whose rows are
cut into blocks of m. Where m does not divide the length of a row, its last block is short and keeps at most n weights,
so that the matrix still fits hardware that pads rows. The short blocks make the total exact: they are filled in the
order of their scores, largest first, over all layers.
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
"""Distributions that fit a pattern, which gives every layer the same density."""


def choose(scores: Mapping[str, Tensor], live: int, pattern: Pattern) -> Masks:
    """Returns masks of exactly ``live`` weights; call ``check`` first."""
    masks, candidates = {}, {}
    for name, score in scores.items():
        full, short = _cut(_rows(score), pattern)
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
    return {name: _as_weight(mask, scores[name].shape) for name, mask in masks.items()}


def check(shapes: Shapes, live: int, distribution: str, pattern: Pattern) -> None:
    """Checks that ``pattern`` fits ``distribution`` and can keep ``live`` weights.

    Raises:
        SpecError: the distribution contradicts the pattern.
        SparsityError: the pattern keeps more or fewer weights; the message names the nearest sparsity that fits.
    """
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


def _rows(weight: Tensor) -> Tensor:
    """Returns [out * kernel, in / groups], a copy where there is a kernel."""
    return weight.movedim(1, -1).reshape(-1, weight.shape[1])


def _as_weight(rows: Tensor, shape: torch.Size) -> Tensor:
    """Undoes ``_rows``."""
    return rows.view(shape[0], *shape[2:], shape[1]).movedim(-1, 1).contiguous()


def _cut(rows: Tensor, pattern: Pattern) -> tuple[Tensor, Tensor]:
    """Returns two views of ``rows``: the columns of the full blocks and those of the short ones."""
    end = rows.shape[1] // pattern.block * pattern.block
    return rows[:, :end], rows[:, end:]


def _bounds(shape: torch.Size, pattern: Pattern) -> tuple[int, int]:
    """Returns the fewest and the most weights that a layer can keep."""
    length = shape[1]
    rows = shape.numel() // length
    in_full = rows * (length // pattern.block) * pattern.kept
    return max(1, in_full), in_full + rows * min(pattern.kept, length % pattern.block)
