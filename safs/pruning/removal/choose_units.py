"""Chooses the units to remove, so that the network keeps exactly as many weights as its sparsity says.

Removing a unit removes its rows and the columns that read it. Whole units are removed while they fit; the remaining
weights, fewer than one unit has, are removed as single weights.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from safs.errors import SparsityError, SpecError
from safs.pruning.axes.distributions import Shapes, live_total, sparsity_that_leaves
from safs.pruning.largest import keep_largest
from safs.pruning.layer_limits import NO_LIMITS, LayerLimits
from safs.pruning.masks import Masks
from safs.pruning.removal.ranking import removal_order, unit_scores
from safs.pruning.removal.remainder import drop_single_weights
from safs.pruning.removal.units import UnitGroup, Units, positions_of


@dataclass(frozen=True, slots=True, eq=False)
class Removal:
    """The units and single weights to remove."""

    units: Units
    masks: Masks
    """Masks of the full network's prunable parameters: False in the removed units' rows and columns, and at the single
    weights that make the total exact."""


def choose_units(
    groups: Sequence[UnitGroup],
    scores: Mapping[str, Tensor],
    sparsity: float,
    distribution: str = "global",
    limits: LayerLimits = NO_LIMITS,
) -> Removal:
    """Chooses the units of the lowest scores until exactly ``live_total`` of all prunable weights are left.

    A unit's score is ``unit_scores``; ``distribution`` says how units of different groups compare
    (``safs.pruning.removal.ranking``). The choice of units ends at the first one with more weights than may still be
    removed; the rest are the single weights of the lowest scores. Every group keeps a unit.
    ``safs.pruning.removal.remainder`` says which weights every layer, row and unit keeps. Layers of ``limits`` keep
    their units, and lose the single weights of the lowest scores.

    Args:
        groups: groups without units in layers of ``limits`` (``free_groups``).
        scores: prunable parameter name -> score of each weight, not below 0, for all prunable parameters in the
            model's order; the absolute weights for magnitude pruning.

    Raises:
        SparsityError: one unit in every group still has more weights.
        SpecError: a score is not finite.
        UnknownNameError: no such distribution.
    """
    shapes = {name: score.shape for name, score in scores.items()}
    check_removal(groups, shapes, sparsity, limits)
    _check_finite(scores)
    size = _Size(shapes)
    limited = limits.live_at(shapes, live_total(size.live, sparsity))
    live = live_total(size.live, sparsity) + sum(prod(shapes[name]) - count for name, count in limited.items())
    ranking = sorted(
        (key, place, unit)
        for place, group in enumerate(groups)
        for unit, key in enumerate(removal_order(distribution, group, unit_scores(group, scores), shapes).tolist())
    )
    removed: dict[str, list[int]] = {group.name: [] for group in groups}
    for _, place, unit in ranking:
        group = groups[place]
        if len(removed[group.name]) == group.units - 1:
            continue
        if not size.remove(group, unit, at_least=live):
            break
        removed[group.name].append(unit)
    units = {name: tuple(sorted(numbers)) for name, numbers in removed.items()}
    masks = unit_masks(groups, units, scores)
    free = {name: mask for name, mask in masks.items() if name not in limited}
    drop_single_weights(free, {name: scores[name] for name in free}, groups, units, size.live - live)
    own = {name: keep_largest(scores[name].flatten(), count).view_as(scores[name]) for name, count in limited.items()}
    return Removal(units, {name: (free | own)[name] for name in scores})


def check_removal(
    groups: Sequence[UnitGroup], shapes: Shapes, sparsity: float, limits: LayerLimits = NO_LIMITS
) -> None:
    """Raises the SparsityError of ``choose_units``, which follows from the shapes of the prunable parameters alone."""
    size = _Size(shapes)
    total = size.live
    limited = limits.live_at(shapes, live_total(total, sparsity))
    for group in groups:
        for unit in range(1, group.units):
            size.remove(group, unit, at_least=0)
    least = size.live - sum(prod(shapes[name]) - count for name, count in limited.items())
    if live_total(total, sparsity) < least:
        kept = ", and the layers of prune.exclude and prune.sparsity_of their units," if limits.zeros else ""
        raise SparsityError(
            f"sparsity {sparsity} leaves {live_total(total, sparsity)} of {total} weights, but with one unit in each "
            f"of its {len(groups)} groups of filters and neurons{kept} the network has {least}. Choose a sparsity of "
            f"at most {sparsity_that_leaves(least, total)}, or prune.granularity: weight.",
            field="sparsity",
        )


def free_groups(groups: Iterable[UnitGroup], limits: LayerLimits) -> tuple[UnitGroup, ...]:
    """Returns the groups whose units have no weight in a layer of ``limits``, neither in a row nor in a column."""
    return tuple(
        group for group in groups if not any(slot.name in limits.zeros for slot in (*group.producers, *group.consumers))
    )


def unit_masks(groups: Sequence[UnitGroup], units: Units, like: Mapping[str, Tensor]) -> Masks:
    """Returns masks, shaped and placed as ``like``, that are False in the rows and columns of ``units``."""
    masks = {name: torch.ones_like(tensor, dtype=torch.bool) for name, tensor in like.items()}
    for (name, dim), positions in positions_of(groups, units).items():
        if name in masks:
            masks[name].index_fill_(dim, torch.tensor(positions, device=masks[name].device), False)
    return masks


class _Size:
    """Counts the weights left while units are removed; a weight in a removed row and a removed column counts once."""

    def __init__(self, shapes: Shapes) -> None:
        self._sides = {name: [shape[0], shape[1]] for name, shape in shapes.items()}
        self._kernels = {name: prod(shape[2:]) for name, shape in shapes.items()}
        self.live = sum(map(prod, shapes.values()))

    def remove(self, group: UnitGroup, unit: int, *, at_least: int) -> bool:
        """Removes ``unit`` and returns True, or returns False if fewer than ``at_least`` weights would be left."""
        slots = [slot for slot in (*group.producers, *group.consumers) if slot.name in self._sides]
        names = {slot.name for slot in slots}
        before = sum(map(self._weights, names))
        for slot in slots:
            self._sides[slot.name][slot.dim] -= len(slot.positions[unit])
        live = self.live - before + sum(map(self._weights, names))
        if live >= at_least:
            self.live = live
            return True
        for slot in slots:
            self._sides[slot.name][slot.dim] += len(slot.positions[unit])
        return False

    def _weights(self, name: str) -> int:
        rows, columns = self._sides[name]
        return rows * columns * self._kernels[name]


def _check_finite(scores: Mapping[str, Tensor]) -> None:
    for name, score in scores.items():
        if not bool(torch.isfinite(score).all()):
            raise SpecError(
                f"a score of {name!r} is not finite, so the network's weights have diverged or overflow under this "
                "score. Choose another prune.score, or other weights.",
                field="prune.score",
            )
