"""Units: filters and neurons that can be removed from a network as a whole, and their positions in its tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Units: TypeAlias = Mapping[str, tuple[int, ...]]
"""Group name -> units of that group, ascending; a missing group has none."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The positions of a group's units in one tensor."""

    name: str
    """Name of the parameter or buffer."""
    dim: int
    positions: tuple[tuple[int, ...], ...]
    """Positions along ``dim``, one tuple per unit."""


@dataclass(frozen=True, slots=True)
class UnitGroup:
    """Units with the same numbers in several layers, so that each is removed from all of them or from none.

    Residual additions, depthwise convolutions and norms join layers in this way.
    """

    name: str
    """Path of the first module that produces the units."""
    units: int
    """Number of units."""
    producers: tuple[Slot, ...]
    """Rows of weights, biases, and the parameters and running statistics of norms."""
    consumers: tuple[Slot, ...]
    """Columns of the weights that read the units; after flattening, a unit has one column per pixel."""


def positions_of(
    groups: Sequence[UnitGroup], units: Units, *, producers: bool = True, consumers: bool = True
) -> dict[tuple[str, int], list[int]]:
    """Maps (parameter or buffer, dimension) to the positions of ``units``, ascending; leaves out empty entries."""
    found: dict[tuple[str, int], set[int]] = {}
    for group in groups:
        for slot in (*(group.producers if producers else ()), *(group.consumers if consumers else ())):
            owned = {position for unit in units.get(group.name, ()) for position in slot.positions[unit]}
            if owned:
                found.setdefault((slot.name, slot.dim), set()).update(owned)
    return {tensor: sorted(positions) for tensor, positions in found.items()}
