"""One-shot magnitude pruning: the weights nearest to zero go."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from safs.errors import SpecError
from safs.pruning.distributions import DISTRIBUTIONS, Shapes, check_sparsity, live_counts, live_total
from safs.pruning.masks import Masks, prunable_parameters
from safs.spec import PruneSpec


def prune(model: nn.Module, sparsity: float, spec: PruneSpec) -> Masks:
    """Masks that keep the largest weights by absolute value; the model is left as it is.

    Exactly ``round(sparsity * N)`` of the N prunable weights are pruned. Of equal ones the first in the order of
    ``prunable_parameters`` and of memory go, so the masks are the same on every device.

    Raises:
        SparsityError: a layer would be left without weights.
        SpecError: options, of which this method has none.
    """
    parameters = prunable_parameters(model)
    shapes = {name: parameter.shape for name, parameter in parameters.items()}
    check(shapes, sparsity, spec)
    scores = {name: parameter.detach().abs() for name, parameter in parameters.items()}
    if DISTRIBUTIONS[spec.distribution].live_counts is None:
        return keep_largest_overall(scores, live_total(sum(shape.numel() for shape in shapes.values()), sparsity))
    counts = live_counts(shapes, sparsity, spec.distribution)
    return {name: keep_largest(score.flatten(), counts[name]).view_as(score) for name, score in scores.items()}


def check(shapes: Shapes, sparsity: float, spec: PruneSpec) -> None:
    """Raises what ``prune`` would raise for a network of these shapes."""
    if spec.options:
        raise SpecError(
            f"pruning method 'magnitude' has no options; remove {', '.join(map(repr, spec.options))}.",
            field="prune.options",
        )
    check_sparsity(shapes, sparsity, spec)


def keep_largest_overall(scores: Mapping[str, Tensor], live: int) -> Masks:
    """Masks of the ``live`` largest scores of all layers together, the largest of each layer among them.

    Args:
        scores: parameter name -> score, of any shape, not below 0.
        live: at least the number of layers.
    """
    flat = []
    for score in scores.values():
        protected = score.flatten().clone()
        protected[protected.argmax()] = torch.inf  # No threshold passes it, so no layer is emptied.
        flat.append(protected)
    kept = keep_largest(torch.cat(flat), live)
    parts = torch.split(kept, [score.numel() for score in flat])
    return {name: mask.view_as(score).clone() for (name, score), mask in zip(scores.items(), parts, strict=True)}


def keep_largest(scores: Tensor, live: int) -> Tensor:
    """The bool mask, [n], of the ``live`` largest of ``scores``, [n]; of equal scores the last ones are kept."""
    pruned = scores.numel() - live
    if pruned == 0:
        return torch.ones_like(scores, dtype=torch.bool)
    threshold = scores.kthvalue(pruned).values
    below = scores < threshold
    tied = scores == threshold
    return ~(below | (tied & (tied.cumsum(0) <= pruned - below.sum())))
