"""Single weights removed after whole units, so that the total is exact.

Every layer keeps its largest weight. While other weights are left to remove, every row of a layer also keeps its
largest weight, and every unit the largest weight that reads it, so that no further unit loses its inputs or readers.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from safs.pruning.largest import keep_largest
from safs.pruning.masks import Masks
from safs.pruning.removal.units import UnitGroup, Units


def drop_single_weights(
    masks: Masks, scores: Mapping[str, Tensor], groups: Sequence[UnitGroup], removed: Units, count: int
) -> None:
    """Sets ``masks`` to False at the ``count`` weights of the lowest scores, in place; the first of equal scores goes.

    Args:
        masks: False in the rows and columns of ``removed``.
        scores: finite scores of the same names and shapes.
    """
    kept = {name: torch.where(masks[name], score, -torch.inf) for name, score in scores.items()}
    protected = {name: _best_of_rows(score) for name, score in kept.items()}
    for name, positions in _best_readers(kept, groups, removed).items():
        protected[name].view(-1)[torch.tensor(positions, dtype=torch.int64, device=protected[name].device)] = True
    spare = {name: mask & ~protected[name] for name, mask in masks.items()}
    first = min(count, sum(int(mask.sum()) for mask in spare.values()))
    _drop(masks, spare, scores, first)
    if count > first:
        best = {name: torch.zeros_like(mask) for name, mask in masks.items()}
        for name, score in kept.items():
            best[name].view(-1)[score.argmax()] = True
        _drop(masks, {name: mask & ~best[name] for name, mask in masks.items()}, scores, count - first)


def _drop(masks: Masks, candidates: Masks, scores: Mapping[str, Tensor], count: int) -> None:
    flat = [torch.where(candidates[name], score, torch.inf).flatten() for name, score in scores.items()]
    stays = keep_largest(torch.cat(flat), sum(map(len, flat)) - count)
    for (name, score), part in zip(scores.items(), stays.split([len(layer) for layer in flat]), strict=True):
        masks[name] &= part.view_as(score)


def _best_of_rows(scores: Tensor) -> Tensor:
    """Returns a mask that is True at the largest score of each row (first dimension) of ``scores``."""
    rows = scores.flatten(1)
    best = torch.zeros_like(rows, dtype=torch.bool).scatter_(1, rows.argmax(1, keepdim=True), True)
    return best.view_as(scores)


def _best_readers(kept: Mapping[str, Tensor], groups: Sequence[UnitGroup], removed: Units) -> dict[str, list[int]]:
    """Maps a parameter name to the flat positions of the largest weight that reads each unit that stays."""
    best: dict[str, list[int]] = {name: [] for name in kept}
    for group in groups:
        readers = [
            (slot, *_best_of_columns(kept[slot.name], slot.dim)) for slot in group.consumers if slot.name in kept
        ]
        for unit in set(range(group.units)) - set(removed.get(group.name, ())):
            found = [
                (values[position], slot.name, places[position])
                for slot, values, places in readers
                for position in slot.positions[unit]
            ]
            if found:
                _, name, place = max(found)
                best[name].append(place)
    return best


def _best_of_columns(scores: Tensor, dim: int) -> tuple[list[float], list[int]]:
    """Returns the largest score at each position along ``dim``, and its flat position in ``scores``."""
    places = torch.arange(scores.numel(), device=scores.device).view_as(scores).movedim(dim, 0).flatten(1)
    best = scores.movedim(dim, 0).flatten(1).max(1)
    return best.values.tolist(), places.gather(1, best.indices.unsqueeze(1)).squeeze(1).tolist()
