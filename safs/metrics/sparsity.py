"""Sparsity, counted from the weights themselves."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class LayerSparsity:
    """Weight counts of one prunable parameter of the architecture."""

    name: str
    weights: int
    """Number of weights in the architecture's own form."""
    live: int
    """Number of stored weights that are not exactly zero."""
    stored: int
    """Number of weights in the state dict: fewer in a smaller network, 0 if the layer uses another layer's weights."""


@dataclass(frozen=True, slots=True)
class SparsityReport:
    """Weight counts of all prunable parameters of a network, in its own order."""

    weights: int
    live: int
    layers: tuple[LayerSparsity, ...]

    @property
    def stored(self) -> int:
        """Number of stored prunable weights, zeros included: fewer than ``weights`` in a smaller network."""
        return sum(layer.stored for layer in self.layers)

    @property
    def sparsity(self) -> float:
        """Fraction of the prunable weights that is zero or removed; 0 if there are no prunable weights."""
        return 1 - self.live / self.weights if self.weights else 0.0


def measure_sparsity(state: Mapping[str, Tensor], sizes: Mapping[str, int]) -> SparsityReport:
    """Count the weights that are not exactly zero (-0.0 is zero).

    Args:
        state: state dict; a prunable weight that is missing in it is tied to another one and counts as pruned.
        sizes: name of a prunable weight -> its size in the architecture's own form.
    """
    layers = tuple(_layer(name, size, state.get(name)) for name, size in sizes.items())
    return SparsityReport(sum(layer.weights for layer in layers), sum(layer.live for layer in layers), layers)


def _layer(name: str, size: int, weight: Tensor | None) -> LayerSparsity:
    if weight is None:
        return LayerSparsity(name, size, 0, 0)
    return LayerSparsity(name, size, int(weight.count_nonzero()), weight.numel())
