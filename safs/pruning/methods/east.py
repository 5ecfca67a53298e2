"""EAST: sparse training for extreme sparsity.

EAST adds three tricks to RigL's moving connections. ReLUs begin as dynamic ReLUs, whose gradient does not vanish, and
become ReLUs by the middle of the training. Later blocks of a stage use the weights of an earlier block, so that layers
are less sparse at the same number of live weights. The density rises and falls before it becomes final.
"""

from collections.abc import Collection, Mapping
from math import ceil

import torch
from pydantic import Field, model_validator
from torch import Generator, nn

from safs.activations.dyrelu import DyReLU, dynamic_relus
from safs.activations.surgery import rewire
from safs.errors import SparsityError
from safs.models.form import Form, apply_form
from safs.pruning.axes.distributions import live_total, sparsity_that_leaves
from safs.pruning.axes.schedules import CyclicOptions, cyclic
from safs.pruning.held_zeros import refuse_keep_zeros
from safs.pruning.layer_limits import layer_limits
from safs.pruning.masks import Masks, apply_masks, prunable_parameters
from safs.pruning.method_options import pruning_options
from safs.pruning.methods.composed import check_epochs
from safs.pruning.methods.dynamic import (
    FROM_SCRATCH,
    LONGEST_PAUSE,
    Connections,
    by_gradient,
    check_axes,
    cosine,
    limited_counts,
    pause,
)
from safs.pruning.methods.weight_sharing import shareable
from safs.pruning.protocol import Hooks, Pruned, PruningTask, Steps, Trainer
from safs.spec.pruning import PruneSpec

UPDATES_A_CYCLE = 40
"""Number of times that the density changes in a cycle of up to 4,000 steps; in longer cycles every 100 steps."""

PUBLISHED_RATE = 0.1
"""Learning rate of the published recipe, which is for residual networks with batch norm."""


class EastOptions(CyclicOptions):
    """Options of ``east``; shares of the training are numbers from 0, its beginning, to 1."""

    end: float = Field(0.4, gt=0, le=1, description="share of the training after which the sparsity is final")
    every: int | None = Field(
        None, ge=1, description="steps between updates outside the cycles; None: 100, fewer in short trainings"
    )
    drop: float = Field(0.5, ge=0, lt=1, description="share of each layer's live weights moved by the first update")
    drop_end: float = Field(0.005, ge=0, lt=1, description="share moved at the end of the training")
    dyrelu: bool = Field(True, description="true: ReLUs begin as dynamic ReLUs")
    phase_start: float = Field(
        0.25, ge=0, le=1, description="share of the training after which dynamic ReLUs begin to become ReLUs"
    )
    phase_end: float = Field(0.5, ge=0, lt=1, description="share of the training after which they are ReLUs")
    freeze: bool = Field(False, description="true: parameters of dynamic ReLUs stop learning at phase_start")
    share: bool = Field(True, description="true: later blocks of a stage use the weights of an earlier block")
    share_ratio: int = Field(2, ge=1, description="blocks of each stage that keep their own weights")
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient of all parameters together")

    @model_validator(mode="after")
    def _phase_starts_before_it_ends(self) -> "EastOptions":
        if self.phase_start > self.phase_end:
            raise ValueError(f"phase_start ({self.phase_start}) must not be above phase_end ({self.phase_end})")
        return self


def east(trainer: Trainer, sparsity: float, spec: PruneSpec) -> Steps:
    """EAST: RigL with dynamic ReLUs that phase out, shared weights and a cyclic density.

    Li, Durrant, Markovic, Huang, Kundu, Chen, Yin, Leontidis, "Pushing the Limits of Sparsity: A Bag of Tricks for
    Extreme Pruning" (TMLR 2025), arXiv:2411.13545. All convolutions and linear layers are masked, including the
    classifier. The parameters of the dynamic ReLUs are dense, do not count in any sparsity, and are removed at the end.
    The default recipe is the published one for CIFAR-10 (``safs.spec.presets.METHODS``).

    Departures from the published code: the factor of ERK is solved again after clamping, so that the total is exact;
    connections move every 100 steps or more often, there every 4,000; the density changes more often in the cycles, and
    their last update prunes to the target; dynamic ReLUs are on from the first step; all phases are shares of the
    training and go by steps; weight decay does not apply to the scales of shared weights; the result has the weights of
    the last epoch, not those of the best epoch after the phases.
    """
    options = pruning_options(spec, EastOptions)
    model, generator = trainer.model, torch.Generator(trainer.device).manual_seed(trainer.seed)
    form, target = _plan(model, sparsity, options, spec)
    _draw_scales(apply_form(form, model), form, generator)
    parameters = prunable_parameters(model)
    shapes = {name: parameter.shape for name, parameter in parameters.items()}
    connections = Connections(parameters, limited_counts(shapes, target, spec), by_gradient, generator)
    relus = dynamic_relus(model, trainer.example, trainer.seed) if options.dyrelu else {}
    through = rewire(model, modules=relus)
    steps = trainer.epochs * trainer.steps_per_epoch
    cycles = cycle_steps(int(options.begin * steps), int(options.end * steps), options.cycles)
    swing = CyclicOptions(cycles=options.cycles, peak=options.peak, end=1.0)
    cycling = range(int(options.begin * steps), max(cycles, default=0) + 1)
    every = pause(steps, options.every)

    def clip(step: int) -> None:
        nn.utils.clip_grad_norm_(through.parameters(), options.clip)

    def update(step: int) -> Masks | None:
        _phase_out(relus, options, (step + 1) / steps)
        if step in cycles:
            return connections.move(0.0, limited_counts(shapes, cyclic(cycles[step], target, swing), spec))
        if step in cycling or step % every or step == 0:
            return None
        return connections.move(cosine(options.drop, options.drop_end, step / steps))

    hooks = Hooks(after_backward=clip, after_step=update)
    yield from trainer.train(trainer.epochs, masks=connections.masks, hooks=hooks, through=through)
    apply_masks(parameters, connections.masks)
    notes = (*_notes(form, relus.values()), *_recipe_notes(model, spec))
    return Pruned(model, connections.masks, form, notes)


def check(task: PruningTask) -> None:
    """Raises the errors of ``east``.

    Raises:
        SpecError: an invalid option, no epoch, or another value on an axis that this method fixes.
        SparsityError: more live weights than the network has, with shared ones counted once, or fewer than layers.
    """
    spec = task.spec
    options = pruning_options(spec, EastOptions)
    check_axes(spec, score="magnitude", distribution="erk", schedule="cyclic", granularity="weight")
    check_epochs(spec, 1)
    refuse_keep_zeros(spec, FROM_SCRATCH.format(spec.method))
    _plan(task.model, task.sparsity, options, spec)


def cycle_steps(begin: int, end: int, cycles: int) -> dict[int, float]:
    """Maps each step at which the density changes to the progress of the ``cycles`` at that step, up to 1.

    The middle and the end of every cycle are among the steps, so that the peak is reached and the last step has the
    final density. If a cycle has fewer than two steps, there are no cycles.

    >>> {step: round(progress, 3) for step, progress in cycle_steps(100, 108, 2).items()}
    {100: 0.125, 101: 0.25, 102: 0.375, 103: 0.5, 104: 0.625, 105: 0.75, 106: 0.875, 107: 1.0}
    """
    length = (end - begin) // cycles
    half = min(ceil(max(UPDATES_A_CYCLE, length / LONGEST_PAUSE) / 2), length // 2)
    updates = 2 * half * cycles
    return {begin + ceil(length * cycles * done / updates) - 1: done / updates for done in range(1, updates + 1)}


def _plan(model: nn.Module, sparsity: float, options: EastOptions, spec: PruneSpec) -> tuple[Form, float]:
    """Returns which weights are shared, and the sparsity of the unshared ones that keeps as many live weights.

    Layers that ``spec`` excludes or gives a sparsity of their own neither share their weights nor use those of others.
    """
    shapes = {name: parameter.shape for name, parameter in prunable_parameters(model).items()}
    limits = layer_limits(spec, shapes)
    shared = {
        name: owner
        for name, owner in (shareable(model, options.share_ratio) if options.share else {}).items()
        if name not in limits.zeros and owner not in limits.zeros
    }
    left = {name: shape.numel() for name, shape in shapes.items() if name not in shared}
    total = sum(shape.numel() for shape in shapes.values())
    live = live_total(total, sparsity)
    kept = sum(left[name] - zeros for name, zeros in limits.zeros.items())
    free = [size for name, size in left.items() if name not in limits.zeros]
    least, most = kept + len(free), kept + sum(free)
    if not least <= live <= most:
        lowest, highest = sparsity_that_leaves(most, total), sparsity_that_leaves(least, total)
        fixed = f", prune.exclude and prune.sparsity_of keep {kept} of them," if limits.zeros else ""
        raise SparsityError(
            f"sparsity {sparsity} keeps {live} weights; east has {most} in {len(left)} layers, with shared ones "
            f"counted once,{fixed} and each layer must keep one. Choose a sparsity from {lowest} to {highest}"
            f"{', or the option share: false' if live > most and shared else ''}.",
            field="sparsity",
        )
    return Form(shared=shared), 1 - live / sum(left.values())


@torch.no_grad()
def _draw_scales(model: nn.Module, form: Form, generator: Generator) -> None:
    """Draws the scales of shared weights uniformly from 0 to 1, as published."""
    for name in form.shared:
        layer = model.get_submodule(name.removesuffix(".weight"))
        layer.get_parameter("share_scale").uniform_(generator=generator)


def _phase_out(relus: Mapping[str, DyReLU], options: EastOptions, progress: float) -> None:
    """Sets beta of the dynamic ReLUs: 1 up to ``phase_start``, then linearly down to 0 at ``phase_end``."""
    for relu in relus.values() if progress >= options.phase_start else ():
        if options.freeze and relu.beta == 1.0:
            relu.requires_grad_(False)
        left = options.phase_end - progress
        relu.beta = left / (options.phase_end - options.phase_start) if left > 0 else 0.0


def _notes(form: Form, relus: Collection[DyReLU]) -> tuple[str, ...]:
    extra = sum(parameter.numel() for relu in relus for parameter in relu.parameters())
    notes = (
        f"{len(form.shared)} layers use another layer's weight." if form.shared else "",
        f"The dynamic ReLUs had {extra:,} dense parameters during the training." if relus else "",
    )
    return tuple(note for note in notes if note)


def _recipe_notes(model: nn.Module, spec: PruneSpec) -> tuple[str, ...]:
    """Returns a note if the published learning rate meets a network without batch norm, which it was not made for."""
    normed = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())
    recipe = spec.recipe
    if normed or recipe is None or recipe.optimizer != "sgd" or recipe.learning_rate < PUBLISHED_RATE:
        return ()
    return (
        f"The network has no batch norm, and SGD with learning rate {recipe.learning_rate:g} did not train such "
        "networks in our tests. If the accuracy is at chance, choose another prune.recipe.",
    )
