"""EAST: sparse training for extreme sparsities, by a bag of tricks.

On RigL's moving connections it puts three tricks. ReLUs begin as dynamic ones, whose gradient does not vanish, and turn
into ReLU by the middle of the training. Later blocks of a stage use the weights of an earlier one, so that the same
number of live weights makes layers less sparse. And the density first swings up and down before it stays.
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
from safs.pruning.axes.distributions import live_counts, live_total, sparsity_that_leaves
from safs.pruning.axes.schedules import CyclicOptions, cyclic
from safs.pruning.masks import Masks, apply_masks, prunable_parameters
from safs.pruning.method_options import pruning_options
from safs.pruning.methods.composed import check_epochs
from safs.pruning.methods.dynamic import LONGEST_PAUSE, Connections, by_gradient, check_axes, cosine, pause
from safs.pruning.methods.weight_sharing import shareable
from safs.pruning.protocol import Hooks, Pruned, PruningTask, Steps, Trainer
from safs.spec.job import PruneSpec

UPDATES_A_CYCLE = 40
"""At least so often the density changes in a cycle that has as many steps; in long cycles every 100 steps."""


class EastOptions(CyclicOptions):
    """Of ``east``. Parts of the training go from 0, its begin, to 1."""

    end: float = Field(0.4, gt=0, le=1, description="part of the training after which the final sparsity stands")
    every: int | None = Field(
        None, ge=1, description="steps between updates outside the cycles; None: 100, in short trainings fewer"
    )
    drop: float = Field(0.5, ge=0, lt=1, description="share of each layer's live weights that moves in an update")
    drop_end: float = Field(0.005, ge=0, lt=1, description="to which that falls by the end of the training")
    dyrelu: bool = Field(True, description="whether ReLUs begin as dynamic ones")
    phase_start: float = Field(0.25, ge=0, le=1, description="part of the training at which they begin to turn to ReLU")
    phase_end: float = Field(0.5, ge=0, lt=1, description="part of the training from which they are ReLU")
    freeze: bool = Field(False, description="whether their own parameters stop learning at phase_start")
    share: bool = Field(True, description="whether later blocks of a stage use an earlier one's weights")
    share_ratio: int = Field(2, ge=1, description="blocks of each stage that keep weights of their own")
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient of all parameters together")

    @model_validator(mode="after")
    def _phase_starts_before_it_ends(self) -> "EastOptions":
        if self.phase_start > self.phase_end:
            raise ValueError(f"phase_start ({self.phase_start}) must not be above phase_end ({self.phase_end})")
        return self


def east(trainer: Trainer, sparsity: float, spec: PruneSpec) -> Steps:
    """EAST: RigL with dynamic ReLUs that phase out, shared weights, and a density that cycles.

    Li, Durrant, Markovic, Huang, Kundu, Chen, Yin, Leontidis, "Pushing the Limits of Sparsity: A Bag of Tricks for
    Extreme Pruning" (TMLR 2025), arXiv:2411.13545. All convolutions and linear layers are masked, the classifier too.
    The dynamic ReLUs' own parameters are dense, are in no sparsity figure and are gone at the end.

    We depart from the published code in these: the factor of ERK is solved again after clamping, so that the total is
    exact; updates in the cycles are frequent, and the last one prunes to the target; DyReLU is on from the first step;
    all phases are parts of the training and go by the step; weight decay spares the scales of shared weights; and the
    last epoch's weights are the result, not those of the best epoch after the phases.
    """
    options = pruning_options(spec, EastOptions)
    model, generator = trainer.model, torch.Generator(trainer.device).manual_seed(trainer.seed)
    form, target = _plan(model, sparsity, options)
    _draw_scales(apply_form(form, model), form, generator)
    parameters = prunable_parameters(model)
    shapes = {name: parameter.shape for name, parameter in parameters.items()}
    connections = Connections(parameters, live_counts(shapes, target, "erk"), by_gradient, generator)
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
            return connections.move(0.0, live_counts(shapes, cyclic(cycles[step], target, swing), "erk"))
        if step in cycling or step % every or step == 0:
            return None
        return connections.move(cosine(options.drop, options.drop_end, step / steps))

    hooks = Hooks(after_backward=clip, after_step=update)
    yield from trainer.train(trainer.epochs, masks=connections.masks, hooks=hooks, through=through)
    apply_masks(parameters, connections.masks)
    return Pruned(model, connections.masks, form, _notes(form, relus.values()))


def check(task: PruningTask) -> None:
    """Raises what ``east`` would raise.

    Raises:
        SpecError: an option that does not fit, no epoch, or an axis that this method does not leave open.
        SparsityError: more live weights than there are, shared ones counted once, or fewer than layers.
    """
    spec = task.spec
    options = pruning_options(spec, EastOptions)
    check_axes(spec, score="magnitude", distribution="erk", schedule="cyclic", granularity="weight")
    check_epochs(spec, 1)
    _plan(task.model, task.sparsity, options)


def cycle_steps(begin: int, end: int, cycles: int) -> dict[int, float]:
    """Steps at which the density changes -> how far the ``cycles`` are then, up to 1.

    The middle and the end of every cycle are among the steps, so the peak is reached, and the last step is back at the
    final density. Cycles of less than two steps are none at all.

    >>> {step: round(progress, 3) for step, progress in cycle_steps(100, 108, 2).items()}
    {100: 0.125, 101: 0.25, 102: 0.375, 103: 0.5, 104: 0.625, 105: 0.75, 106: 0.875, 107: 1.0}
    """
    length = (end - begin) // cycles
    half = min(ceil(max(UPDATES_A_CYCLE, length / LONGEST_PAUSE) / 2), length // 2)
    updates = 2 * half * cycles
    return {begin + ceil(length * cycles * done / updates) - 1: done / updates for done in range(1, updates + 1)}


def _plan(model: nn.Module, sparsity: float, options: EastOptions) -> tuple[Form, float]:
    """Which weights are shared, and the sparsity of the others at which as many live as at ``sparsity`` of all."""
    shapes = {name: parameter.shape for name, parameter in prunable_parameters(model).items()}
    shared = shareable(model, options.share_ratio) if options.share else {}
    left = [shape.numel() for name, shape in shapes.items() if name not in shared]
    total = sum(shape.numel() for shape in shapes.values())
    live = live_total(total, sparsity)
    if not len(left) <= live <= sum(left):
        lowest, highest = sparsity_that_leaves(sum(left), total), sparsity_that_leaves(len(left), total)
        raise SparsityError(
            f"sparsity {sparsity} keeps {live} weights; east has {sum(left)} in {len(left)} layers, shared ones "
            f"counted once, and each layer must keep one. Choose a sparsity from {lowest} to {highest}"
            f"{', or the option share: false' if live > sum(left) else ''}.",
            field="sparsity",
        )
    return Form(shared=shared), 1 - live / sum(left)


@torch.no_grad()
def _draw_scales(model: nn.Module, form: Form, generator: Generator) -> None:
    """Uniform from 0 to 1, as published."""
    for name in form.shared:
        layer = model.get_submodule(name.removesuffix(".weight"))
        layer.get_parameter("share_scale").uniform_(generator=generator)


def _phase_out(relus: Mapping[str, DyReLU], options: EastOptions, progress: float) -> None:
    """Sets beta: 1 to ``phase_start``, from there in a straight line to 0 at ``phase_end``."""
    for relu in relus.values() if progress >= options.phase_start else ():
        if options.freeze and relu.beta == 1.0:
            relu.requires_grad_(False)
        left = options.phase_end - progress
        relu.beta = left / (options.phase_end - options.phase_start) if left > 0 else 0.0


def _notes(form: Form, relus: Collection[DyReLU]) -> tuple[str, ...]:
    extra = sum(parameter.numel() for relu in relus for parameter in relu.parameters())
    notes = (
        f"{len(form.shared)} layers use another layer's weight." if form.shared else "",
        f"The dynamic ReLUs had {extra:,} dense parameters of their own while they lasted." if relus else "",
    )
    return tuple(note for note in notes if note)
