"""GReg, growing regularisation: a growing penalty shrinks the chosen weights before they are removed.

Wang, Qin, Zhang, Fu, "Neural Pruning via Growing Regularization" (2021), arXiv:2012.09243. After each backward pass,
lambda w is added to the gradient of a weight w, where lambda depends on the weight and rises step by step; the
optimizer's weight decay stays as it is. This follows the authors' code, except where "ours" is said.

- A weight does not reach 0 but settles where the loss pulls as hard as the penalty, at |dL/dw| / lambda, so the
  ceiling of lambda decides how much is left to remove. SGD with learning rate r and momentum m removes a share of about
  r lambda / (1 - m) of a penalised weight in each step, and is stable while r lambda < 2 (1 + m).
- lambda grows by the same factor in each update by default (ours), from a ten-thousandth of its ceiling. The published
  growth is linear. With our ceiling, its first update already takes most weights down within about ten steps, which is
  pruning at once. docs/methods.md has the figures. The preset ``paper`` keeps the linear growth.
- Batch norm trains while the penalty grows, and hides that a whole filter shrinks. Removing the filter changes the
  network by the filter's standard deviation after the norm, which the notes tell. ``penalty.pulled_down`` says what we
  do about it.
- The chosen weights follow from the job's score, distribution and granularity; the authors set a ratio per layer by
  hand. For a filter, the authors penalise rows; here the weights that read it, which are removed too, are penalised as
  well (ours).
- In the authors' code, lambda also stops growing once kept filters are 1000 times as large as pruned ones, to save
  time. Here the job sets the length of the training, so that rule is left out (ours).
- Adam normalises the penalty's gradient together with the loss's, so a penalised weight falls by at most about a
  learning rate per step. Weights settle at the same values, so a suitable ceiling works as well (measured by us), but
  the published methods use SGD, and so does these methods' default recipe.
- The published ceiling is 1. Here it is 1 / r by default, 100 for the default recipe: SGD is stable at that for every
  r, and on digits, perceptrons with batch norm and 95% of single weights pruned lost 0 to 1 point at the removal, and
  up to 17 with a ceiling of 10 (measured by us; without batch norm, or by filters, neither ceiling loses anything).
"""

from collections.abc import Mapping
from math import ceil, floor
from typing import Literal

import torch
from pydantic import Field, model_validator

from safs.errors import SpecError
from safs.pruning.masks import Masks, prunable_parameters
from safs.pruning.method_options import pruning_options
from safs.pruning.methods.dynamic import check_axes
from safs.pruning.methods.penalty import (
    GeometricRamp,
    LinearRamp,
    Penalty,
    Ramp,
    norms_behind,
    pulled_down,
    spread_behind_norms,
)
from safs.pruning.protocol import Hooks, PruningTask, Steps, Trainer
from safs.pruning.selection.selector import check_selection, remaining_sparsity, scored, selector
from safs.spec.options import Options
from safs.spec.pruning import PruneSpec

FIRST = 1e-4
"""Penalty from which geometric growth starts, relative to the ceiling."""


class Greg1Options(Options):
    """Options of ``greg1``."""

    ceiling: float | None = Field(
        None,
        gt=0,
        description="largest penalty; the larger, the less is left to remove. None: 1 / learning rate of prune.recipe, "
        "or 10 without one",
    )
    growth: Literal["geometric", "linear"] | None = Field(
        None,
        description="geometric: by the same factor in each update; linear: by the same amount. None: geometric, or "
        "linear if delta is given",
    )
    delta: float | None = Field(
        None, gt=0, description="amount of each update of linear growth; None: the ceiling is reached in time"
    )
    every: int = Field(1, ge=1, description="steps between two updates of the penalty")
    stabilise: float = Field(0.5, ge=0, lt=1, description="share of the training that is left at the largest penalty")

    @model_validator(mode="after")
    def _delta_is_linear(self) -> "Greg1Options":
        if self.growth == "geometric" and self.delta is not None:
            raise ValueError("delta is the amount of linear growth; leave it out, or choose growth: linear")
        return self


class Greg2Options(Greg1Options):
    """Options of ``greg2``."""

    pick_ceiling: float = Field(0.01, gt=0, description="penalty on all weights at which the weights are chosen")
    pick_delta: float | None = Field(
        None, gt=0, description="amount of each update before the choice; None: half of the growth is before the choice"
    )
    recover: float = Field(1e-4, ge=0, description="negative penalty on the kept weights, after the choice")


def greg1(trainer: Trainer, sparsity: float, spec: PruneSpec) -> Steps:
    """GReg-1: chooses weights as one-shot pruning does, then lets the penalty on them grow to its ceiling.

    Published: linear growth by 1e-4 every 5 or 10 steps to a ceiling of 1, then 5,000 to 40,000 steps to stabilise, at
    learning rate 0.001. By default, the penalty grows for half of the training.
    """
    (growing,) = _ramps(spec, pruning_options(spec, Greg1Options), trainer.epochs, trainer.steps_per_epoch)
    chosen = selector(trainer.model, trainer.example, spec)
    masks = chosen.choose(scored(trainer, spec), remaining_sparsity(sparsity, chosen.start))
    norms = norms_behind(trainer)
    penalty = Penalty(dict(trainer.model.named_parameters()), pulled_down(trainer.model, masks, norms))
    hooks = Hooks(after_backward=lambda step: penalty.add(growing.at(step)))
    yield from trainer.train(trainer.epochs, masks=chosen.start, hooks=hooks)
    return chosen.finish(masks, _notes(trainer, masks, norms, chosen.start))


def greg2(trainer: Trainer, sparsity: float, spec: PruneSpec) -> Steps:
    """GReg-2: a small penalty on all weights grows first, the weights it shrinks most are chosen; then as GReg-1.

    For a loss of 1/2 sum h_i (w_i - w_i*)^2 the penalised minimum is w_i* h_i / (h_i + lambda): weights in flat
    directions shrink first, so the ranking by magnitude takes curvature into account without a Hessian. This is the
    paper's reason as we recall it; our tests check the formula. After the choice, kept weights get a penalty of -1e-4
    until the end, to recover.

    Published: linear growth, by 1e-5 to 0.01 before the choice and by 1e-4 to 1 after it.
    """
    options = pruning_options(spec, Greg2Options)
    picking, growing = _ramps(spec, options, trainer.epochs, trainer.steps_per_epoch)
    chosen = selector(trainer.model, trainer.example, spec)
    norms, parameters = norms_behind(trainer), dict(trainer.model.named_parameters())
    weights = prunable_parameters(trainer.model)
    penalty = Penalty(parameters, {name: torch.ones_like(one, dtype=torch.bool) for name, one in weights.items()})
    masks: Masks | None = None

    def penalise(step: int) -> None:
        nonlocal masks, penalty
        if step < picking.steps:
            penalty.add(picking.at(step))
            return
        if masks is None:
            masks = chosen.choose(scored(trainer, spec), remaining_sparsity(sparsity, chosen.start))
            penalty = Penalty(parameters, pulled_down(trainer.model, masks, norms), kept=masks)
        penalty.add(growing.at(step - picking.steps), -options.recover)

    yield from trainer.train(trainer.epochs, masks=chosen.start, hooks=Hooks(after_backward=penalise))
    assert masks is not None  # _ramps ensures that there are steps after the choice
    return chosen.finish(masks, _notes(trainer, masks, norms, chosen.start))


def check(task: PruningTask) -> None:
    """Raises the errors of ``greg1`` and ``greg2``, and refuses a penalty that makes SGD diverge.

    Raises:
        UnknownNameError: no such score, distribution or granularity.
        SpecError: an invalid option, too few epochs, or another value on an axis that these methods fix.
        SparsityError: a layer would be left without weights.
        CompactionError: the granularity is ``filter`` and the network cannot be made smaller.
    """
    spec = task.spec
    options = pruning_options(spec, Greg2Options if spec.method == "greg2" else Greg1Options)
    check_axes(spec, schedule="growing")
    check_selection(task)
    _ramps(spec, options, spec.epochs, task.steps_per_epoch)
    recipe = spec.recipe
    if recipe and recipe.optimizer == "sgd":
        largest = 2 * (1 + recipe.momentum) / recipe.learning_rate
        if (ceiling := _ceiling(spec, options)) >= largest:
            raise SpecError(
                f"SGD with learning rate {recipe.learning_rate} and momentum {recipe.momentum} diverges under a "
                f"penalty of {largest:g} and more; prune.options.ceiling is {ceiling:g}. Lower the ceiling or the "
                "learning rate.",
                field="prune.options.ceiling",
            )


def _ramps(spec: PruneSpec, options: Greg1Options, epochs: int, steps_per_epoch: int) -> tuple[Ramp, ...]:
    """Returns how the penalty grows: before the choice (GReg-2 only) and after it."""
    ceiling = _ceiling(spec, options)
    steps = floor((1 - options.stabilise) * epochs * steps_per_epoch)
    ramps: list[Ramp] = []
    if isinstance(options, Greg2Options):
        if options.pick_ceiling >= ceiling:
            raise SpecError(
                f"the penalty grows from pick_ceiling, {options.pick_ceiling:g}, to ceiling, {ceiling:g}, which must "
                "be larger. Lower pick_ceiling or raise ceiling.",
                field="prune.options.pick_ceiling",
            )
        ramps.append(_linear(options.pick_delta, options.every, 0.0, options.pick_ceiling, steps // 2))
    start = ramps[0].ceiling if ramps else 0.0
    left = steps - sum(ramp.steps for ramp in ramps)
    if options.growth == "linear" or options.delta is not None:
        ramps.append(_linear(options.delta, options.every, start, ceiling, left))
    else:
        updates = max(1, left // options.every)
        ramps.append(GeometricRamp(start or FIRST * ceiling, ceiling, updates, options.every))
    if (needed := sum(ramp.steps for ramp in ramps)) > steps:
        least = ceil(needed / (1 - options.stabilise) / steps_per_epoch)
        raise SpecError(
            f"the penalty of {spec.method!r} needs {needed:,} steps to grow with these options, but prune.epochs "
            f"{epochs} has {steps:,} steps before the share that stabilises. Choose prune.epochs of at least {least}, "
            "or a larger prune.options.delta.",
            field="prune.epochs",
        )
    return tuple(ramps)


def _ceiling(spec: PruneSpec, options: Greg1Options) -> float:
    return options.ceiling or (1 / spec.recipe.learning_rate if spec.recipe else 10.0)


def _linear(delta: float | None, every: int, start: float, ceiling: float, steps: int) -> LinearRamp:
    return LinearRamp(delta or (ceiling - start) / max(1, steps // every), every, ceiling, start)


def _notes(trainer: Trainer, masks: Masks, norms: Mapping[str, str], start: Masks | None) -> tuple[str, ...]:
    """Returns notes on how far the removed weights and filters had shrunk before the removal.

    Args:
        start: masks of the weights that were not zero at the start; None: all of them.
    """
    weights = {name: one.detach().abs() for name, one in prunable_parameters(trainer.model).items()}
    removed = torch.cat([weights[name][~mask & start[name] if start else ~mask] for name, mask in masks.items()])
    kept = torch.cat([weights[name][mask] for name, mask in masks.items()])
    notes = []
    if len(removed):
        ratio = float(removed.mean() / kept.mean())
        notes.append(
            f"Just before the removal, the mean size of the removed weights was {ratio:.2g} of that of the others."
        )
    if spread := spread_behind_norms(trainer, masks, norms):
        gone, others = spread
        notes.append(f"Behind batch norm, removed filters had a deviation of {gone:.2g}, the others {others:.2g}.")
    return tuple(notes)
