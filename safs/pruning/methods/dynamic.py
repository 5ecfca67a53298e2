"""Dynamic sparse training from scratch, in which connections move: SET and RigL.

The mask is drawn at random before the first step. At regular intervals, each layer drops its live weights of the
smallest magnitude and grows as many at other positions, so that every layer keeps its number of live weights.
"""

from collections.abc import Callable, Mapping
from math import cos, pi
from typing import TypeAlias

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from safs.errors import SpecError
from safs.pruning.axes.distributions import live_counts, live_total, sparsity_that_leaves
from safs.pruning.held_zeros import refuse_keep_zeros
from safs.pruning.largest import keep_largest
from safs.pruning.layer_limits import check_limits, layer_limits
from safs.pruning.masks import Masks, apply_masks, prunable_parameters
from safs.pruning.method_options import pruning_options
from safs.pruning.methods.composed import check_epochs
from safs.pruning.protocol import Hooks, Pruned, PruningTask, Steps, Trainer
from safs.spec.options import Options
from safs.spec.pruning import PruneSpec

UPDATES = 40
"""Number of updates in trainings of up to 4,000 steps; in longer ones connections move every 100 steps."""
FROM_SCRATCH = "pruning method {!r} starts from new random weights, at positions that move"
"""The reason why no zero of the dense network can be kept."""
LONGEST_PAUSE = 100
"""Most steps between two updates, as in RigL's experiments."""

Growth: TypeAlias = Callable[[nn.Parameter, Generator], Tensor]
"""(weight, generator) -> scores of the weight's shape; the pruned weights of the largest scores are grown."""


class DynamicOptions(Options):
    """Options of ``set`` and ``rigl``."""

    every: int | None = Field(None, ge=1, description="steps between updates; None: 100, fewer in short trainings")
    drop: float = Field(0.3, ge=0, lt=1, description="share of each layer's live weights moved by the first update")
    until: float = Field(0.75, ge=0, le=1, description="share of the training after which no connection moves")


def rigl(trainer: Trainer, sparsity: float, spec: PruneSpec) -> Steps:
    """RigL: grows weights where the gradient of the loss is largest.

    Evci, Gale, Menick, Castro, Elsen, "Rigging the Lottery" (2020), arXiv:1911.11134. As in the paper, the share of
    moved connections falls from ``drop`` to 0 along half a cosine, and no connection moves in the last quarter of the
    training. Departure: a step that changes the mask first moves the weights; in RigL's code it only changes the mask.
    """
    return _train(trainer, sparsity, spec, by_gradient)


def set_(trainer: Trainer, sparsity: float, spec: PruneSpec) -> Steps:
    """SET: grows weights at random positions.

    Mocanu et al., "Scalable Training of Artificial Neural Networks with Adaptive Sparse Connectivity" (2018),
    arXiv:1707.04780. Departure: connections move at the times and by the shares of RigL, as in the comparisons of Evci
    et al. (2020), arXiv:1911.11134; the paper moves a constant share once an epoch, up to the last epoch.
    """
    return _train(trainer, sparsity, spec, at_random)


def check(task: PruningTask) -> None:
    """Raises the errors of ``rigl`` and ``set_``.

    Raises:
        SpecError: an invalid option, no epoch, or another value on an axis that these methods fix.
        SparsityError: a layer would be left without weights.
    """
    spec = task.spec
    pruning_options(spec, DynamicOptions)
    check_axes(spec, score="magnitude", schedule="dynamic", granularity="weight")
    check_epochs(spec, 1)
    refuse_keep_zeros(spec, FROM_SCRATCH.format(spec.method))
    shapes = _shapes(prunable_parameters(task.model))
    check_limits(shapes, task.sparsity, layer_limits(spec, shapes))
    limited_counts(shapes, task.sparsity, spec)


def check_axes(spec: PruneSpec, **fixed: str) -> None:
    """Raises SpecError if ``spec`` has another value than ``fixed`` on an axis that its method fixes."""
    for axis, only in fixed.items():
        if (value := getattr(spec, axis)) != only:
            raise SpecError(
                f"pruning method {spec.method!r} has the {axis} {only!r}; prune.{axis} cannot be {value!r}. Leave it "
                "out.",
                field=f"prune.{axis}",
            )


class Connections:
    """The live connections of a network in training, at random positions at first.

    Args:
        parameters: the prunable parameters by name.
        live: number of live weights by name, at least 1.
    """

    def __init__(
        self, parameters: Mapping[str, nn.Parameter], live: Mapping[str, int], growth: Growth, generator: Generator
    ) -> None:
        self._parameters, self._growth, self._generator = parameters, growth, generator
        self._live = dict(live)
        self.masks: Masks = {
            name: keep_largest(at_random(parameter, generator).flatten(), live[name]).view_as(parameter)
            for name, parameter in parameters.items()
        }

    def move(self, share: float, live: Mapping[str, int] | None = None) -> Masks:
        """Drops ``share`` of each layer's live weights and grows the layer to ``live``; returns the new masks.

        Dropped weights can be grown again in the same move, and then keep their values.

        Args:
            live: number of live weights by name; a layer that has more is first pruned to it. None: as before.
        """
        target = self._live if live is None else dict(live)
        self.masks = {
            name: self._moved(parameter, self.masks[name], min(self._live[name], target[name]), share, target[name])
            for name, parameter in self._parameters.items()
        }
        self._live = target
        return self.masks

    def _moved(self, parameter: nn.Parameter, mask: Tensor, kept: int, share: float, live: int) -> Tensor:
        survivors = drop(parameter, mask, kept - round(share * kept))
        if share == 0 and kept == live:
            return survivors
        return grow(self._growth(parameter, self._generator), survivors, live)


def drop(weight: Tensor, mask: Tensor, live: int) -> Tensor:
    """Returns the mask of the ``live`` weights of the largest magnitude in ``mask``, which keeps at least as many."""
    places = mask.flatten().nonzero().squeeze(1)
    kept = torch.zeros_like(mask)
    kept.view(-1)[places[keep_largest(weight.detach().flatten()[places].abs(), live)]] = True
    return kept


def grow(scores: Tensor, mask: Tensor, live: int) -> Tensor:
    """Returns ``mask`` with the pruned weights of the largest ``scores`` added, up to ``live`` weights in total."""
    return keep_largest(torch.where(mask, torch.inf, scores).flatten(), live).view_as(mask)


def by_gradient(weight: nn.Parameter, generator: Generator) -> Tensor:
    """Returns |dL/dw| of the last backward pass; pruned weights have true gradients too.

    In a very sparse network many gradients are exactly 0. These are ordered at random, below all others: by position,
    all of them would go to the same few units.
    """
    chance = at_random(weight, generator) - 1.0
    return chance if weight.grad is None else torch.where(weight.grad == 0, chance, weight.grad.abs())


def at_random(weight: nn.Parameter, generator: Generator) -> Tensor:
    """Returns uniform random numbers in [0, 1)."""
    return torch.rand(weight.shape, generator=generator, device=weight.device)


def cosine(start: float, end: float, progress: float) -> float:
    """Returns half a cosine from ``start`` to ``end`` as ``progress`` goes from 0 to 1.

    >>> [round(cosine(0.5, 0.1, progress), 3) for progress in (0.0, 0.5, 1.0)]
    [0.5, 0.3, 0.1]
    """
    return end + (start - end) * (1 + cos(pi * progress)) / 2


def pause(steps: int, every: int | None) -> int:
    """Returns the steps between two updates of a phase of ``steps``: ``every``, or those that give ``UPDATES`` updates.

    >>> pause(400, None), pause(30_000, None), pause(400, 25)
    (10, 100, 25)
    """
    return every or max(1, min(LONGEST_PAUSE, steps // UPDATES))


def _train(trainer: Trainer, sparsity: float, spec: PruneSpec, growth: Growth) -> Steps:
    options = pruning_options(spec, DynamicOptions)
    parameters = prunable_parameters(trainer.model)
    live = limited_counts(_shapes(parameters), sparsity, spec)
    connections = Connections(parameters, live, growth, torch.Generator(trainer.device).manual_seed(trainer.seed))
    moving = int(options.until * trainer.epochs * trainer.steps_per_epoch)
    every = pause(moving, options.every)

    def update(step: int) -> Masks | None:
        if step == 0 or step % every or step >= moving:
            return None
        return connections.move(cosine(options.drop, 0.0, step / moving))

    yield from trainer.train(trainer.epochs, masks=connections.masks, hooks=Hooks(after_step=update))
    apply_masks(parameters, connections.masks)
    return Pruned(trainer.model, connections.masks)


def limited_counts(shapes: Mapping[str, torch.Size], sparsity: float, spec: PruneSpec) -> dict[str, int]:
    """Returns the live weights of each layer: of limited layers as ``spec`` says, of others by the distribution.

    Raises:
        SpecError: a pattern of ``spec`` matches no layer, or a layer is both excluded and given a sparsity.
        SparsityError: a layer would be left without weights.
    """
    limits = layer_limits(spec, shapes)
    if not limits.zeros:
        return live_counts(shapes, sparsity, spec.distribution)
    live = live_total(sum(shape.numel() for shape in shapes.values()), sparsity)
    fixed = limits.live_at(shapes, live)
    free = {name: shape for name, shape in shapes.items() if name not in fixed}
    weights = sum(shape.numel() for shape in free.values())
    left = live - sum(fixed.values())
    counts = live_counts(free, sparsity_that_leaves(left, weights), spec.distribution) if free else {}
    return {name: (fixed | counts)[name] for name in shapes}


def _shapes(parameters: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: parameter.shape for name, parameter in parameters.items()}
