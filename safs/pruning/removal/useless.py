"""Units without effect under given masks."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from safs.pruning.masks import Masks
from safs.pruning.removal.units import Slot, UnitGroup, positions_of


def useless_units(model: nn.Module, groups: Sequence[UnitGroup], masks: Masks) -> dict[str, tuple[int, ...]]:
    """Returns, by group name, the units without input (all weights into them are pruned) and those that nothing reads.

    A unit that is found counts as removed, which can leave others without inputs or readers; the search is repeated to
    a fixed point. Depthwise weights do not count as inputs, since they only pass a unit on. If all units of a group are
    useless, the first one stays, since a layer cannot be empty.

    Args:
        masks: masks of all prunable parameters.
    """
    depthwise = _depthwise(model)
    live = {name: mask.clone() for name, mask in masks.items()}
    useless: dict[str, set[int]] = {group.name: set() for group in groups}
    changed = True
    while changed:
        changed = False
        for group in groups:
            weights = [slot for slot in group.producers if slot.name in live]
            makers = [slot for slot in weights if slot.name not in depthwise] or weights
            readers = [slot for slot in group.consumers if slot.name in live]
            needed = _live_units(readers, live, group.units)
            if makers:  # without producers the units are inputs of the network, which are always there
                needed &= _live_units(makers, live, group.units)
            if found := set(range(group.units)) - needed - useless[group.name]:
                changed = True
                useless[group.name] |= found
                for (name, dim), positions in positions_of([group], {group.name: tuple(found)}).items():
                    if name in live:
                        live[name].index_fill_(dim, torch.tensor(positions, device=live[name].device), False)
    for group in groups:
        if len(useless[group.name]) == group.units:
            useless[group.name].remove(0)
    return {name: tuple(sorted(units)) for name, units in useless.items()}


def _depthwise(model: nn.Module) -> set[str]:
    convolutions = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return {
        f"{path}.weight"
        for path, layer in model.named_modules()
        if isinstance(layer, convolutions) and 1 < layer.groups == layer.in_channels == layer.out_channels
    }


def _live_units(slots: Iterable[Slot], live: dict[str, Tensor], units: int) -> set[int]:
    """Returns the units with a live weight in any of ``slots``."""
    found: set[int] = set()
    for slot in slots:
        anything = live[slot.name].movedim(slot.dim, 0).flatten(1).any(1).tolist()
        found |= {unit for unit in range(units) if any(anything[position] for position in slot.positions[unit])}
    return found
