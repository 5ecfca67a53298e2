"""In which order units go: their scores, and how units of different groups compare."""

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
    """[units], float64 on the CPU: a unit's score in a layer is its row's mean, and of several layers' their mean.

    Inputs, which no layer makes, are scored by the columns that read them.

    Args:
        scores: parameter name -> score of each weight; a producer that is not there does not count.
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
    """A key for each unit of ``group``, to compare with other groups' keys: the smallest go first.

    Args:
        scores: [units], not below 0.
        shapes: of the prunable parameters.

    Raises:
        UnknownNameError: no such distribution.
    """
    return _ORDERS[distribution](group, scores, shapes)


_Order: TypeAlias = Callable[[UnitGroup, Tensor, Shapes], Tensor]


def _global(group: UnitGroup, scores: Tensor, shapes: Shapes) -> Tensor:
    """Scores in units of their group's mean: weights differ in scale by their layer's fan-in."""
    mean = scores.mean()
    return scores / mean if mean > 0 else scores


def _uniform(group: UnitGroup, scores: Tensor, shapes: Shapes) -> Tensor:
    """The k-th unit from the top stays while the share of units that stay is at least k / units."""
    return -_places_from_the_top(scores) / group.units


def _erk(group: UnitGroup, scores: Tensor, shapes: Shapes) -> Tensor:
    """As ``uniform``, with shares proportional to the density that Erdős-Rényi-Kernel gives the layers of the group.

    A share that would pass 1 is 1, which the common factor makes up for elsewhere. Evci et al., "Rigging the Lottery"
    (2020), arXiv:1911.11134, there for the weights of single layers.
    """
    layers = [shapes[slot.name] for slot in _makers(group, shapes)]
    density = sum(map(sum, layers)) / sum(map(prod, layers))
    return -_places_from_the_top(scores) / (group.units * density)


def _lamp(group: UnitGroup, scores: Tensor, shapes: Shapes) -> Tensor:
    """LAMP's rescaling of scores, there for the weights of a layer, here for the units of a group."""
    rescale = DISTRIBUTIONS["lamp"].rescale
    assert rescale is not None
    order = scores.argsort(stable=True)
    return torch.empty_like(scores).scatter_(0, order, rescale(scores[order]))


def _places_from_the_top(scores: Tensor) -> Tensor:
    """1 for the largest of ``scores``, [n], n for the smallest; of equal ones the first gets the larger place."""
    places = torch.arange(len(scores), 0, -1, dtype=scores.dtype)
    return torch.empty_like(scores).scatter_(0, scores.argsort(stable=True), places)


_ORDERS: Registry[_Order] = Registry(
    "distribution", {"global": _global, "erk": _erk, "lamp": _lamp, "uniform": _uniform}
)
