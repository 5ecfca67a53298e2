"""Pruning methods by name, and what they share."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from safs.pruning import magnitude
from safs.pruning.distributions import DISTRIBUTIONS, Distribution, Shapes, check_sparsity, live_counts, live_total
from safs.pruning.masks import Masks, apply_masks, prunable_parameters
from safs.registry import Registry
from safs.spec import PruneSpec

__all__ = [
    "DISTRIBUTIONS",
    "PRUNERS",
    "Distribution",
    "Masks",
    "Pruner",
    "Shapes",
    "apply_masks",
    "check_sparsity",
    "live_counts",
    "live_total",
    "prunable_parameters",
]


@dataclass(frozen=True, slots=True)
class Pruner:
    """A pruning method."""

    summary: str
    prune: Callable[[nn.Module, float, PruneSpec], Masks]
    """(model, sparsity, spec) -> masks with exactly ``live_total`` kept weights; the model is left as it is."""
    check: Callable[[Shapes, float, PruneSpec], None]
    """(shapes, sparsity, spec): raises what ``prune`` would raise, options included, from shapes alone."""


PRUNERS: Registry[Pruner] = Registry(
    "pruning method",
    {"magnitude": Pruner("removes the weights nearest to zero, all at once", magnitude.prune, magnitude.check)},
)
