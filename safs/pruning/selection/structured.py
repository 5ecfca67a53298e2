"""Structured pruning: whole groups of weights (filters, rows, columns, input channels) become zeros.

Groups are pruned in the order of their mean scores, lowest first, while they fit. The rest, fewer weights than a group
has, are the lowest single weights of the next group, so that the total is exact. Every layer keeps one whole group.

Where groups make outputs (rows, filters), the groups of the last layer are the classes. That layer loses single weights
instead, never the last one of a class: as many as the distribution says, or, with one threshold for all layers, none
until the other layers have no more to give.
"""

from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor

from safs.pruning.axes.distributions import Distribution, Shapes
from safs.pruning.axes.granularity import Granularity
from safs.pruning.largest import keep_largest
from safs.pruning.masks import Masks


def choose(scores: Mapping[str, Tensor], live: int, distribution: Distribution, granularity: Granularity) -> Masks:
    """Returns masks of exactly ``live`` weights, which must be enough for ``least`` of every layer."""
    shapes = {name: score.shape for name, score in scores.items()}
    classes = _classes(shapes, granularity)
    groups = {name: granularity.grouped(score) for name, score in scores.items()}
    others = {name: one for name, one in groups.items() if name != classes}
    kept: dict[str, Tensor] = {}
    if distribution.live_counts is not None:
        counts = distribution.live_counts(shapes, live)
        for name, one in others.items():
            kept |= _keep_groups({name: one}, counts[name], distribution)
    else:
        must_stay = sum(fewest for name, fewest in least(shapes, granularity).items() if name != classes)
        counts = {} if classes is None else {classes: min(shapes[classes].numel(), live - must_stay)}
        if others:
            kept = _keep_groups(others, live - sum(counts.values()), distribution)
    if classes is not None:
        kept[classes] = _keep_of_every_group(groups[classes], counts[classes])
    return {name: granularity.ungrouped(kept[name], shape).contiguous() for name, shape in shapes.items()}


def least(shapes: Shapes, granularity: Granularity) -> dict[str, int]:
    """Returns the fewest weights that each layer can keep: one group, or one weight per class in the last layer."""
    classes = _classes(shapes, granularity)
    sizes = {name: granularity.group_size(torch.Size(shape)) for name, shape in shapes.items()}
    return {name: prod(shapes[name]) // size if name == classes else size for name, size in sizes.items()}


def _classes(shapes: Shapes, granularity: Granularity) -> str | None:
    """Returns the name of the layer whose groups are the classes; None if groups do not make outputs."""
    return list(shapes)[-1] if granularity.removes_outputs else None


def _keep_groups(layers: Mapping[str, Tensor], live: int, distribution: Distribution) -> dict[str, Tensor]:
    """Returns bool masks of ``layers``, name -> [groups, size], that keep ``live`` weights of all layers together."""
    values, sizes = [], []
    for groups in layers.values():
        value = _rescaled(groups.double().mean(1), distribution)
        value[value.argmax()] = torch.inf
        values.append(value)
        sizes.append(torch.full_like(value, groups.shape[1], dtype=torch.int64))
    order = torch.cat(values).argsort(stable=True)
    gone_after = torch.cat(sizes)[order].cumsum(0)
    pruned = sum(groups.numel() for groups in layers.values()) - live
    whole = int((gone_after <= pruned).sum())
    rest = pruned - (int(gone_after[whole - 1]) if whole else 0)
    stays = torch.ones_like(order, dtype=torch.bool).index_fill_(0, order[:whole], False)

    kept, start = {}, 0
    for name, groups in layers.items():
        count, size = groups.shape
        kept[name] = stays[start : start + count].unsqueeze(1).repeat(1, size)
        if rest and start <= (next_one := int(order[whole])) < start + count:
            kept[name][next_one - start] = keep_largest(groups[next_one - start], size - rest)
        start += count
    return kept


def _rescaled(means: Tensor, distribution: Distribution) -> Tensor:
    if distribution.rescale is None:
        return means
    order = means.argsort(stable=True)
    return torch.empty_like(means).scatter_(0, order, distribution.rescale(means[order]))


def _keep_of_every_group(groups: Tensor, live: int) -> Tensor:
    """Returns the bool mask of the ``live`` largest scores, [groups, size], including the largest of every group."""
    protected = groups.scatter(1, groups.argmax(1, keepdim=True), torch.inf)
    return keep_largest(protected.flatten(), live).view_as(groups)
