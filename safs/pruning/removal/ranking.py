"""The order in which units are removed: their scores, and how units of different groups compare."""

from collections.abc import Callable, Container, Mapping
from itertools import chain
from math import prod
from typing import TypeAlias

import torch
from torch import Tensor

from safs.pruning.axes.distributions import DISTRIBUTIONS, Shapes
from safs.pruning.removal.units import Slot, UnitGroup
from safs.registry import Registry


def unit_scores(group: UnitGroup, scores: Mapping[str, Tensor]) -> Tensor:
    """Returns the score of each unit, [units], float64 on the CPU.

    A unit's score is the mean over its row; with several producers, it is the mean over them. Inputs, which have no
    producer, are scored by the columns that read them.

    Args:
        scores: parameter name -> score of each weight; producers without an entry are left out.
    """
    means = []
    for slot in _makers(group, scores):
        rows = scores[slot.name].movedim(slot.dim, 0).flatten(1).mean(1, dtype=torch.float64).cpu()
        counts = torch.tensor([len(positions) for positions in slot.positions])
        owned = rows[torch.tensor(list(chain(*slot.positions)))]
        sums = rows.new_zeros(group.units).index_add_(0, torch.arange(group.units).repeat_interleave(counts), owned)
        means.append(sums / counts)
    return torch.stack(means).mean(0)


def _makers(group: UnitGroup, known: Container[str]) -> list[Slot]:
    return [slot for slot in group.producers or group.consumers if slot.name in known]


def removal_order(distribution: str, group: UnitGroup, scores: Tensor, shapes: Shapes) -> Tensor:
    """Returns a key for each unit of ``group``; over all groups, units with the smallest keys are removed first.

    Args:
        scores: [units], not below 0.
        shapes: shapes of the prunable parameters.

    Raises:
        UnknownNameError: no such distribution.
    """
    return _ORDERS[distribution](group, scores, shapes)


_Order: TypeAlias = Callable[[UnitGroup, Tensor, Shapes], Tensor]


def _global(group: UnitGroup, scores: Tensor, shapes: Shapes) -> Tensor:
    """Returns the scores divided by their group's mean, since the scale of weights depends on their layer's fan-in."""
    mean = scores.mean()
    return scores / mean if mean > 0 else scores


def _uniform(group: UnitGroup, scores: Tensor, shapes: Shapes) -> Tensor:
    """Keeps the same share of units in every group: the k-th largest stays while that share is at least k / units."""
    return -_descending_ranks(scores) / group.units


def _erk(group: UnitGroup, scores: Tensor, shapes: Shapes) -> Tensor:
    """Keeps shares proportional to the density that Erdős-Rényi-Kernel gives the layers of the group.

    A share above 1 is clamped to 1, and the common factor makes up for it in other groups. Evci et al., "Rigging the
    Lottery" (2020), arXiv:1911.11134, define it for the weights of single layers.
    """
    layers = [shapes[slot.name] for slot in _makers(group, shapes)]
    density = sum(map(sum, layers)) / sum(map(prod, layers))
    return -_descending_ranks(scores) / (group.units * density)


def _lamp(group: UnitGroup, scores: Tensor, shapes: Shapes) -> Tensor:
    """Rescales scores as LAMP does, which defines it for the weights of a layer, for the units of a group."""
    rescale = DISTRIBUTIONS["lamp"].rescale
    assert rescale is not None
    order = scores.argsort(stable=True)
    return torch.empty_like(scores).scatter_(0, order, rescale(scores[order]))


def _descending_ranks(scores: Tensor) -> Tensor:
    """Returns ranks from 1 for the largest of ``scores``, [n], to n; the first of equal scores counts as smaller."""
    places = torch.arange(len(scores), 0, -1, dtype=scores.dtype)
    return torch.empty_like(scores).scatter_(0, scores.argsort(stable=True), places)


_ORDERS: Registry[_Order] = Registry(
    "distribution", {"global": _global, "erk": _erk, "lamp": _lamp, "uniform": _uniform}
)
