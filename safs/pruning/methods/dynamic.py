"""Sparse training from scratch, in which connections move: SET and RigL.

The mask is drawn at random before the first step. Every so often each layer drops the live weights of least magnitude
and grows as many in other places, so that all layers keep their counts from the first step to the last.
"""

from collections.abc import Callable, Mapping
from math import cos, pi
from typing import TypeAlias

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from safs.errors import SpecError
from safs.pruning.axes.distributions import live_counts
from safs.pruning.largest import keep_largest
from safs.pruning.masks import Masks, apply_masks, prunable_parameters
from safs.pruning.method_options import pruning_options
from safs.pruning.methods.composed import check_epochs
from safs.pruning.protocol import Hooks, Pruned, PruningTask, Steps, Trainer
from safs.spec.job import PruneSpec
from safs.spec.options import Options

UPDATES = 40
"""At least so often connections move, where the training has as many steps; long ones move them every 100 steps."""
LONGEST_PAUSE = 100
"""Steps between two updates in RigL's own experiments."""

Growth: TypeAlias = Callable[[nn.Parameter, Generator], Tensor]
"""(weight, generator) -> score of the weight's shape; pruned weights of the largest scores come back."""


class DynamicOptions(Options):
    """Of ``set`` and ``rigl``."""

    every: int | None = Field(None, ge=1, description="steps between updates; None: 100, in short trainings fewer")
    drop: float = Field(0.3, ge=0, lt=1, description="share of each layer's live weights that the first update moves")
    until: float = Field(0.75, ge=0, le=1, description="part of the training after which no connection moves")


def rigl(trainer: Trainer, sparsity: float, spec: PruneSpec) -> Steps:
    """RigL: weights come back where the loss's gradient is largest.

    Evci, Gale, Menick, Castro, Elsen, "Rigging the Lottery" (2020), arXiv:1911.11134. The share moved falls from
    ``drop`` to 0 along half a cosine, and the last quarter of the training moves nothing, as there. Here a step whose
    mask changes moves the weights as well, before the change; there it changes the mask only.
    """
    return _train(trainer, sparsity, spec, by_gradient)


def set_(trainer: Trainer, sparsity: float, spec: PruneSpec) -> Steps:
    """SET: weights come back at random.

    Mocanu et al., "Scalable Training of Artificial Neural Networks with Adaptive Sparse Connectivity" (2018),
    arXiv:1707.04780. Moves once an epoch, always the same share, and to the last epoch there; here at the times and by
    the shares of RigL, as in the comparisons of Evci et al. (2020), arXiv:1911.11134.
    """
    return _train(trainer, sparsity, spec, at_random)


def check(task: PruningTask) -> None:
    """Raises what ``rigl`` and ``set_`` would raise.

    Raises:
        SpecError: an option that does not fit, no epoch, or an axis that these methods do not leave open.
        SparsityError: a layer would be left without weights.
    """
    spec = task.spec
    pruning_options(spec, DynamicOptions)
    check_axes(spec, score="magnitude", schedule="dynamic", granularity="weight")
    check_epochs(spec, 1)
    live_counts(_shapes(prunable_parameters(task.model)), task.sparsity, spec.distribution)


def check_axes(spec: PruneSpec, **fixed: str) -> None:
    """Raises SpecError where ``spec`` has another value on an axis that its method has ``fixed``."""
    for axis, only in fixed.items():
        if (value := getattr(spec, axis)) != only:
            raise SpecError(
                f"pruning method {spec.method!r} has the {axis} {only!r}; prune.{axis} cannot be {value!r}. Leave it "
                "out.",
                field=f"prune.{axis}",
            )


class Connections:
    """The live weights of a network in training.

    Args:
        parameters: by name, prunable; their masks begin at random places.
        live: live weights by name, from 1 to all.
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

        What has just been dropped may come back, and then keeps its value. Where ``live`` (None: as many as before) is
        less than a layer has, the layer is pruned to that first.
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
    """The mask of the ``live`` weights largest in magnitude among those of ``mask``, which has at least as many."""
    places = mask.flatten().nonzero().squeeze(1)
    kept = torch.zeros_like(mask)
    kept.view(-1)[places[keep_largest(weight.detach().flatten()[places].abs(), live)]] = True
    return kept


def grow(scores: Tensor, mask: Tensor, live: int) -> Tensor:
    """``mask`` with the weights of the largest ``scores`` beside it, ``live`` in all, which is at least what it has."""
    return keep_largest(torch.where(mask, torch.inf, scores).flatten(), live).view_as(mask)


def by_gradient(weight: nn.Parameter, generator: Generator) -> Tensor:
    """|dL/dw|, with what the last backward pass left; pruned weights have true gradients too.

    In a very sparse network many are exactly 0. Among those chance decides, below all others: by position they would
    all fall to the same few units.
    """
    chance = at_random(weight, generator) - 1.0
    return chance if weight.grad is None else torch.where(weight.grad == 0, chance, weight.grad.abs())


def at_random(weight: nn.Parameter, generator: Generator) -> Tensor:
    """Uniform random numbers."""
    return torch.rand(weight.shape, generator=generator, device=weight.device)


def cosine(start: float, end: float, progress: float) -> float:
    """Half a cosine from ``start`` to ``end`` as ``progress`` goes from 0 to 1.

    >>> [round(cosine(0.5, 0.1, progress), 3) for progress in (0.0, 0.5, 1.0)]
    [0.5, 0.3, 0.1]
    """
    return end + (start - end) * (1 + cos(pi * progress)) / 2


def pause(steps: int, every: int | None) -> int:
    """Steps between two updates of a phase of ``steps``: ``every``, or so that there are ``UPDATES`` of them.

    >>> pause(400, None), pause(30_000, None), pause(400, 25)
    (10, 100, 25)
    """
    return every or max(1, min(LONGEST_PAUSE, steps // UPDATES))


def _train(trainer: Trainer, sparsity: float, spec: PruneSpec, growth: Growth) -> Steps:
    options = pruning_options(spec, DynamicOptions)
    parameters = prunable_parameters(trainer.model)
    live = live_counts(_shapes(parameters), sparsity, spec.distribution)
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


def _shapes(parameters: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: parameter.shape for name, parameter in parameters.items()}
