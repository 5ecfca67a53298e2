"""Masks of the k largest scores, exact and fast for tens of millions of scores.

On the CPU, thresholds come from numpy's partial sort, which takes a seventh of the time of ``torch.kthvalue``. Of equal
scores, the last in memory are kept, on every device.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from safs.pruning.masks import Masks


def keep_largest(scores: Tensor, live: int) -> Tensor:
    """Returns the bool mask, [n], of the ``live`` largest of ``scores``, [n]; the last of equal scores are kept."""
    pruned = scores.numel() - live
    if pruned == 0:
        return torch.ones_like(scores, dtype=torch.bool)
    threshold = _kth_smallest(scores, pruned)
    kept = scores > threshold
    if missing := live - int(kept.count_nonzero()):
        tied = (scores == threshold).nonzero().squeeze(1)
        kept[tied[-missing:]] = True
    return kept


def keep_largest_of_rows(scores: Tensor, live: int) -> Tensor:
    """Returns the bool mask, [rows, n], of the ``live`` largest scores of each row; the last of equal ones are kept."""
    pruned = scores.shape[1] - live
    if pruned == 0 or scores.numel() == 0:
        return torch.ones_like(scores, dtype=torch.bool)
    kept = scores > _kth_smallest(scores, pruned).unsqueeze(1)
    tied = (kept.sum(1) < live).nonzero().squeeze(1)  # few rows, unless many scores are equal
    order = scores[tied].argsort(dim=1, stable=True)
    kept[tied] = torch.zeros_like(kept[tied]).scatter_(1, order[:, pruned:], True)
    return kept


def keep_largest_overall(scores: Mapping[str, Tensor], live: int) -> Masks:
    """Returns masks of the ``live`` largest scores of all layers together, including the largest of each layer.

    Args:
        scores: parameter name -> scores of any shape, not below 0.
        live: number of weights to keep, at least the number of layers.
    """
    flat = []
    for score in scores.values():
        protected = score.flatten().clone()
        protected[protected.argmax()] = torch.inf  # above every threshold, so that no layer is emptied
        flat.append(protected)
    kept = keep_largest(torch.cat(flat), live)
    parts = torch.split(kept, [score.numel() for score in flat])
    return {name: mask.view_as(score).clone() for (name, score), mask in zip(scores.items(), parts, strict=True)}


def ascending(values: Tensor) -> Tensor:
    """Returns ``values``, [n], in ascending order."""
    if values.device.type == "cpu":
        return torch.from_numpy(np.sort(values.numpy()))  # 15 times as fast as torch.sort
    return values.sort().values


def _kth_smallest(scores: Tensor, k: int) -> Tensor:
    """Returns the ``k``-th smallest score (k = 1: the smallest) along the last dimension."""
    if scores.device.type == "cpu":
        return torch.from_numpy(np.partition(scores.numpy(), k - 1, axis=-1))[..., k - 1]
    return scores.kthvalue(k, dim=-1).values
