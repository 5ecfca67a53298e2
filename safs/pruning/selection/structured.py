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
from safs.pruning.held_zeros import capped_counts
from safs.pruning.largest import keep_largest
from safs.pruning.masks import Masks


def choose(
    scores: Mapping[str, Tensor],
    live: int,
    distribution: Distribution,
    granularity: Granularity,
    start: Masks | None = None,
) -> Masks:
    """Returns masks of exactly ``live`` weights, which must be enough for ``least`` of every layer.

    Args:
        start: masks of the weights that may be kept; a group then is its weights that may be kept. None: all of them.
    """
    shapes = {name: score.shape for name, score in scores.items()}
    classes = _classes(shapes, granularity)
    may = start or {name: torch.ones_like(score, dtype=torch.bool) for name, score in scores.items()}
    sizes = {name: int(mask.count_nonzero()) for name, mask in may.items()}
    # Scores are not below 0, so that weights that may not be kept are below all others.
    groups = {name: granularity.grouped(torch.where(may[name], score, -1.0)) for name, score in scores.items()}
    others = {name: one for name, one in groups.items() if name != classes}
    kept: dict[str, Tensor] = {}
    if distribution.live_counts is not None:
        counts = capped_counts(distribution, shapes, live, sizes)
        for name, one in others.items():
            kept |= _keep_groups({name: one}, counts[name], distribution)
    else:
        must_stay = sum(fewest for name, fewest in least(shapes, granularity, sizes).items() if name != classes)
        counts = {} if classes is None else {classes: min(sizes[classes], live - must_stay)}
        if others:
            kept = _keep_groups(others, live - sum(counts.values()), distribution)
    if classes is not None:
        kept[classes] = _keep_of_every_group(groups[classes], counts[classes])
    return {name: granularity.ungrouped(kept[name], shape).contiguous() for name, shape in shapes.items()}


def least(shapes: Shapes, granularity: Granularity, most: Mapping[str, int]) -> dict[str, int]:
    """Returns the fewest weights that each layer can keep: one group, or one weight per class in the last layer.

    Args:
        most: number of weights of each layer that may be kept.
    """
    classes = _classes(shapes, granularity)
    sizes = {name: granularity.group_size(torch.Size(shape)) for name, shape in shapes.items()}
    fewest = {name: prod(shapes[name]) // size if name == classes else size for name, size in sizes.items()}
    return {name: min(count, most[name]) for name, count in fewest.items()}


def _classes(shapes: Shapes, granularity: Granularity) -> str | None:
    """Returns the name of the layer whose groups are the classes; None if groups do not make outputs."""
    return list(shapes)[-1] if granularity.removes_outputs else None


def _keep_groups(layers: Mapping[str, Tensor], live: int, distribution: Distribution) -> dict[str, Tensor]:
    """Returns bool masks of ``layers``, name -> [groups, size], that keep ``live`` weights of all layers together.

    Args:
        layers: scores, below 0 for weights that may not be kept.
    """
    values, sizes = [], []
    for groups in layers.values():
        value = _rescaled(groups.double().clamp(min=0).mean(1), distribution)
        value[(groups < 0).all(1)] = -1.0
        value[value.argmax()] = torch.inf
        values.append(value)
        sizes.append((groups >= 0).sum(1))
    order = torch.cat(values).argsort(stable=True)
    gone_after = torch.cat(sizes)[order].cumsum(0)
    pruned = int(sum(size.sum() for size in sizes)) - live
    whole = int((gone_after <= pruned).sum())
    rest = pruned - (int(gone_after[whole - 1]) if whole else 0)
    stays = torch.ones_like(order, dtype=torch.bool).index_fill_(0, order[:whole], False)

    kept, start = {}, 0
    for name, groups in layers.items():
        count = groups.shape[0]
        kept[name] = stays[start : start + count].unsqueeze(1) & (groups >= 0)
        if rest and start <= (next_one := int(order[whole])) < start + count:
            place = next_one - start
            kept[name][place] = keep_largest(groups[place], int(kept[name][place].count_nonzero()) - rest)
        start += count
    return kept


def _rescaled(means: Tensor, distribution: Distribution) -> Tensor:
    if distribution.rescale is None:
        return means
    order = means.argsort(stable=True)
    return torch.empty_like(means).scatter_(0, order, distribution.rescale(means[order]))


def _keep_of_every_group(groups: Tensor, live: int) -> Tensor:
    """Returns the bool mask of the ``live`` largest scores, [groups, size], including the largest of every group.

    Scores below 0 are not kept.
    """
    best = groups.amax(1, keepdim=True)
    protected = groups.scatter(1, groups.argmax(1, keepdim=True), torch.where(best < 0, best, torch.inf))
    return keep_largest(protected.flatten(), live).view_as(groups)
