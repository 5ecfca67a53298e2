"""Units: filters and neurons that can be removed from a network as a whole, and where their numbers are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Units: TypeAlias = Mapping[str, tuple[int, ...]]
"""Group name -> units of that group, ascending; a group that is not there has none."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Where one tensor holds the units of a group."""

    name: str
    """Of the parameter or buffer."""
    dim: int
    positions: tuple[tuple[int, ...], ...]
    """By unit: its positions along ``dim``."""


@dataclass(frozen=True, slots=True)
class UnitGroup:
    """Units that are numbered alike in several layers, so that one is removed from all of them or from none.

    Residual additions, depthwise convolutions and norms join layers in this way.
    """

    name: str
    """Path of the first module that produces them."""
    units: int
    producers: tuple[Slot, ...]
    """Rows of weights, biases, parameters and running statistics of norms: what makes the unit."""
    consumers: tuple[Slot, ...]
    """Columns of the weights that read it; after a flattening a unit owns as many as it has pixels."""


def positions_of(
    groups: Sequence[UnitGroup], units: Units, *, producers: bool = True, consumers: bool = True
) -> dict[tuple[str, int], list[int]]:
    """(parameter or buffer, dimension) -> the positions, ascending, that belong to ``units``, where there are any."""
    found: dict[tuple[str, int], set[int]] = {}
    for group in groups:
        for slot in (*(group.producers if producers else ()), *(group.consumers if consumers else ())):
            owned = {position for unit in units.get(group.name, ()) for position in slot.positions[unit]}
            if owned:
                found.setdefault((slot.name, slot.dim), set()).update(owned)
    return {tensor: sorted(positions) for tensor, positions in found.items()}
