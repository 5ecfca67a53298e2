"""torch-pruning's dependency graph with a limit on its work.

Two of its loops have no bound of their own. Shape inference follows every path through the network, of which there can
be exponentially many. The search for a group can go round in circles, for example where a network swaps halves of its
channels, and can multiply the list of channels in every round, as in some Swin Transformers. Every turn of these loops
uses one of the objects below, which count it. So the limit needs no clock, no thread and no process, and a network has
the same groups on every machine (docs/decisions/029-dependency-graph-in-process.md).
"""

from collections.abc import Sequence
from typing import Any

import torch_pruning
from torch_pruning.dependency import Dependency

MOST_POSITIONS = 2**20
"""Positions, such as channels and flattened pixels, of one layer. VGG-16 has at most 25,088, at 224 pixels."""


class LimitReached(Exception):
    """The search needs more work than it may do."""


class Steps:
    """A budget of steps, each of 0.2 to 2 microseconds.

    Args:
        limit: the number of steps that can be taken.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.taken = 0
        """Steps taken so far."""

    def take(self, steps: int = 1) -> None:
        """Counts ``steps``.

        Raises:
            LimitReached: more are taken than the limit allows.
        """
        self.taken += steps
        if self.taken > self._limit:
            raise LimitReached(f"it takes more than {self._limit:,} steps")


class BoundedGraph(torch_pruning.DependencyGraph):  # type: ignore[misc]  # torch-pruning has no types
    """A dependency graph that raises ``LimitReached`` when ``steps`` are used up."""

    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self._steps = steps

    def get_out_channels(self, module_or_node: Any) -> Any:
        """The number of output channels; shape inference asks for it at each node of each path."""
        self._steps.take()
        return super().get_out_channels(module_or_node)

    def get_in_channels(self, module_or_node: Any) -> Any:
        """The number of input channels; shape inference asks for it at each node of each path."""
        self._steps.take()
        return super().get_in_channels(module_or_node)

    def _build_dependency(self, module2node: dict[Any, Any]) -> None:
        super()._build_dependency(module2node)
        for node in module2node.values():
            node.dependencies = [_BoundedDependency(dependency, self._steps) for dependency in node.dependencies]


class _BoundedDependency(Dependency):  # type: ignore[misc]  # torch-pruning has no types
    """A dependency that counts how often its target is read, as it is in each comparison with an item of a group."""

    def __init__(self, dependency: Dependency, steps: Steps) -> None:
        self._steps = steps
        super().__init__(dependency.trigger, dependency.handler, dependency.source, dependency.target)
        self.index_mapping = _BoundedMappings(steps)

    @property
    def target(self) -> Any:
        self._steps.take()
        return self._target

    @target.setter
    def target(self, node: Any) -> None:
        self._target = node


class _BoundedMappings(list[Any]):
    """The two index mappings of a dependency; torch-pruning sets those that it needs."""

    def __init__(self, steps: Steps) -> None:
        super().__init__([None, None])
        self._steps = steps

    def __setitem__(self, place: Any, mapping: Any) -> None:
        super().__setitem__(place, None if mapping is None else _BoundedMapping(mapping, self._steps))


class _BoundedMapping:
    """An index mapping that counts the indices it is about to return."""

    def __init__(self, mapping: Any, steps: Steps) -> None:
        self._mapping, self._steps = mapping, steps

    def __call__(self, indices: Sequence[Any]) -> Sequence[Any]:
        # Flattening returns ``stride`` indices for each channel. Every other mapping returns at most one.
        factor = 1 if self._mapping.reverse else getattr(self._mapping, "_stride", 1)
        if (returned := factor * len(indices)) > MOST_POSITIONS:
            raise LimitReached(f"it finds a layer of {returned:,} positions; the limit is {MOST_POSITIONS:,}")
        self._steps.take(returned)
        mapped: Sequence[Any] = self._mapping(indices)
        return mapped
