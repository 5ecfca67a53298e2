"""Masks by magnitude, for tests that need some."""

from torch import nn

from safs.pruning.axes.distributions import live_total
from safs.pruning.masks import Masks, prunable_parameters
from safs.pruning.selection.choose_masks import choose_masks


def magnitude_masks(model: nn.Module, sparsity: float, distribution: str = "global") -> Masks:
    """Returns masks that keep the largest weights."""
    scores = {name: parameter.detach().abs() for name, parameter in prunable_parameters(model).items()}
    live = live_total(sum(score.numel() for score in scores.values()), sparsity)
    return choose_masks(scores, live, distribution=distribution, granularity="weight")
