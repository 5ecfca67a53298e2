"""Sparsity, counted from the numbers themselves."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class LayerSparsity:
    """One prunable parameter of the architecture."""

    name: str
    weights: int
    """In the architecture's own form."""
    live: int
    """Those that are there and not exactly zero."""
    stored: int
    """Those that are there: fewer in a smaller network, none where the layer uses another one's weights."""


@dataclass(frozen=True, slots=True)
class SparsityReport:
    """All prunable parameters of a network, in its own order."""

    weights: int
    live: int
    layers: tuple[LayerSparsity, ...]

    @property
    def stored(self) -> int:
        """Prunable weights that are there, zeros included: fewer than ``weights`` in a smaller network."""
        return sum(layer.stored for layer in self.layers)

    @property
    def sparsity(self) -> float:
        """The fraction of the prunable weights that is zero or gone; 0 where there are none."""
        return 1 - self.live / self.weights if self.weights else 0.0


def measure_sparsity(state: Mapping[str, Tensor], sizes: Mapping[str, int]) -> SparsityReport:
    """Counts the weights that are not exactly zero (-0.0 is zero).

    Args:
        state: a state dict; prunable weights that it does not have are tied to others, and count as pruned.
        sizes: prunable weight -> its size in the architecture's own form.
    """
    layers = tuple(_layer(name, size, state.get(name)) for name, size in sizes.items())
    return SparsityReport(sum(layer.weights for layer in layers), sum(layer.live for layer in layers), layers)


def _layer(name: str, size: int, weight: Tensor | None) -> LayerSparsity:
    if weight is None:
        return LayerSparsity(name, size, 0, 0)
    return LayerSparsity(name, size, int(weight.count_nonzero()), weight.numel())
