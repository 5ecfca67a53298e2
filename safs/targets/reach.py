"""Check a target before a job runs: the costs that its pruning can reach, by the shapes of its layers alone."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod

import torch

from safs.errors import SafsError, SparsityError, SpecError
from safs.pruning.axes.distributions import DISTRIBUTIONS, Shapes, sparsity_that_leaves
from safs.pruning.axes.granularity import Pattern, granularity_named
from safs.pruning.layer_limits import layer_limits
from safs.pruning.masks import prunable_parameters
from safs.pruning.protocol import PruningTask
from safs.pruning.pruners import PRUNERS
from safs.pruning.removal.choose_units import check_removal, unit_masks
from safs.pruning.removal.coupling import find_groups
from safs.pruning.selection.selector import FILTER
from safs.spec.target import TargetSpec
from safs.targets.costs import Shape, live_in, shape_of


def expected_sparsity(task: PruningTask, target: TargetSpec) -> float:
    """The sparsity at which ``task`` is expected to reach ``target``, by shapes alone.

    Pruning by scores is taken to give every layer the same sparsity, and time to be proportional to operations.

    Args:
        task: its sparsity is not read.

    Raises:
        SparsityError: no sparsity that the pruning accepts reaches the target; the message has the nearest cost.
        SpecError: the granularity has a single sparsity.
        SafsError: the pruning accepts no sparsity.
    """
    refuse_single_sparsity(task)
    weights = sum(parameter.numel() for parameter in prunable_parameters(task.model).values())
    shape, shapes = shape_of(task.model, task.example), _shapes(task)
    least = least_live(task)
    if target.measure != "latency":
        _check_reachable(task, target, shape, _fewest(task, shapes, least))
    cost = shape.bytes_left if target.bytes is not None else shape.flops_left
    live = most_live(lambda number: cost(_spread(task, shapes, number)) <= target.value, least, most_weights(task) + 1)
    return sparsity_that_leaves(live, weights)


def least_live(task: PruningTask) -> int:
    """The fewest weights that ``task`` can leave; its own sparsity is not read.

    Raises:
        SafsError: the pruning accepts no sparsity.
    """
    shapes = _shapes(task)
    weights = sum(map(prod, shapes.values()))
    most = most_weights(task)
    PRUNERS[task.spec.method].check(replace(task, sparsity=sparsity_that_leaves(most, weights)))
    if task.spec.granularity == FILTER:
        groups = find_groups(task.model, task.example)

        def check(sparsity: float) -> None:
            check_removal(groups, shapes, sparsity)
    else:

        def check(sparsity: float) -> None:
            PRUNERS[task.spec.method].check(replace(task, sparsity=sparsity))

    def fails(live: int) -> bool:
        try:
            check(sparsity_that_leaves(live, weights))
        except SafsError:
            return True
        return False

    return most_live(fails, 0, most) + 1


def most_weights(task: PruningTask) -> int:
    """The number of weights that ``task`` leaves at its lowest sparsity: all but the zeros that it keeps."""
    return sum(map(prod, _shapes(task).values())) - sum(task.held.values())


def most_live(holds: Callable[[int], bool], low: int, high: int) -> int:
    """The largest number in [low, high) for which ``holds``, which is true up to some number; ``low`` if for none."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def refuse_single_sparsity(task: PruningTask) -> None:
    """Raise SpecError if the granularity leaves no choice of sparsity."""
    if isinstance(granularity_named(task.spec.granularity), Pattern):
        raise SpecError(
            f"granularity {task.spec.granularity!r} has a single sparsity, so no target can choose it. Give sparsity "
            "in place of target, or another prune.granularity.",
            field="target",
        )


def unreachable(target: TargetSpec, nearest: float, where: str = "") -> SparsityError:
    """The error for a target below ``nearest``, the lowest cost that can be reached."""
    kind = target.measure
    rounded = f"{nearest:,.0f}" if kind == "bytes" else f"{nearest:.3g}"
    advice = f"{-(-nearest // 1):.0f}" if kind == "bytes" else f"{nearest + 5e-4:.3f}"
    return SparsityError(
        f"target.{kind} {target.value:g} cannot be reached{where}: at the largest sparsity that this pruning accepts, "
        f"{'about ' if kind != 'latency' else ''}{rounded} {'bytes ' if kind == 'bytes' else ''}are left. Choose at "
        f"least {advice}, or another prune.distribution or prune.granularity.",
        field=f"target.{kind}",
    )


def _check_reachable(task: PruningTask, target: TargetSpec, shape: Shape, live: Mapping[str, int]) -> None:
    nearest = shape.fewest_bytes_left(live) if target.bytes is not None else shape.flops_left(live)
    if nearest > target.value:
        raise unreachable(target, nearest)


def _fewest(task: PruningTask, shapes: Shapes, least: int) -> dict[str, int]:
    """The live weights of each layer at the largest sparsity."""
    if task.spec.granularity != FILTER:
        return _spread(task, shapes, least)
    groups = find_groups(task.model, task.example)
    units = {group.name: tuple(range(1, group.units)) for group in groups}
    return live_in(unit_masks(groups, units, {name: torch.empty(shape) for name, shape in shapes.items()}))


def _spread(task: PruningTask, shapes: Shapes, live: int) -> dict[str, int]:
    """``live`` weights by layer, as far as the distribution follows from shapes; else in equal shares."""
    fixed = layer_limits(task.spec, shapes, task.held).live_at(shapes, live)
    free = {name: shape for name, shape in shapes.items() if name not in fixed}
    left = min(max(live - sum(fixed.values()), len(free)), sum(map(prod, free.values())))
    counts = DISTRIBUTIONS[task.spec.distribution].live_counts if task.spec.granularity != FILTER else None
    uniform = DISTRIBUTIONS["uniform"].live_counts
    assert uniform is not None
    return fixed | ((counts or uniform)(free, left) if free else {})


def _shapes(task: PruningTask) -> dict[str, torch.Size]:
    return {name: parameter.shape for name, parameter in prunable_parameters(task.model).items()}
