"""Sparsity, counted from the numbers themselves."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class LayerSparsity:
    """One prunable parameter."""

    name: str
    weights: int
    live: int
    """Those that are not exactly zero."""


@dataclass(frozen=True, slots=True)
class SparsityReport:
    """All prunable parameters of a network, in its own order."""

    weights: int
    live: int
    layers: tuple[LayerSparsity, ...]

    @property
    def sparsity(self) -> float:
        """The fraction of the prunable weights that is exactly zero; 0 where there are none."""
        return 1 - self.live / self.weights if self.weights else 0.0


def measure_sparsity(state: Mapping[str, Tensor], prunable: Iterable[str]) -> SparsityReport:
    """Counts the weights that are not exactly zero (-0.0 is zero).

    Args:
        state: a state dict that holds at least the prunable names.
    """
    layers = tuple(LayerSparsity(name, state[name].numel(), int(state[name].count_nonzero())) for name in prunable)
    return SparsityReport(sum(layer.weights for layer in layers), sum(layer.live for layer in layers), layers)
