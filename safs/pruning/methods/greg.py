"""GReg, growing regularisation: what is to go is first pulled towards zero, ever harder, so that it is not missed.

Wang, Qin, Zhang, Fu, "Neural Pruning via Growing Regularization" (2021), arXiv:2012.09243. After each backward pass
the gradient of a weight w grows by lambda w, where lambda differs by weight and rises step by step; the optimizer's
own weight decay stays as it is. This follows the authors' code, except where "ours" is said.

- A weight does not reach 0 but settles where the loss pulls as hard as the penalty, at |dL/dw| / lambda, so the
  ceiling of lambda decides how much is left to remove. SGD with learning rate r and momentum m takes a share of about
  r lambda / (1 - m) of a penalised weight away in each step, and is stable while r lambda < 2 (1 + m).
- Batch norm trains while the penalty grows, and hides that a whole filter shrinks. What removing the filter changes is
  its standard deviation behind the norm: that is watched, and told in the notes. ``penalty.pulled_down`` says what we
  do about it.
- Prune sets are those of the job's score, distribution and granularity; there, each layer has a ratio set by hand. Of
  a filter that goes, rows are penalised there; here also the weights that read it, which go as well (ours).
- There, lambda also stops to grow once kept filters are 1000 times as large as pruned ones, to save time. Here the
  training lasts as long as the job says, so that rule is left out (ours).
- Adam normalises the penalty's gradient along with the loss's, so a penalised weight falls by about a learning rate a
  step at most. Where weights settle is the same, so with a ceiling to match it does as well (measured by us), but the
  published methods use SGD, and so does the recipe that these bring.
- The ceiling is 1 there. By default it is 1 / r here, 100 for the default recipe: SGD is stable at that for every r,
  and on digits, perceptrons with batch norm and 95% of single weights gone, lost 0 to 1 point at removal where a
  ceiling of 10 lost up to 17 (measured by us; without batch norm, or by filters, either loses nothing).
"""

from collections.abc import Mapping
from math import ceil, floor

import torch
from pydantic import Field

from safs.errors import SpecError
from safs.pruning.masks import Masks, prunable_parameters
from safs.pruning.method_options import pruning_options
from safs.pruning.methods.dynamic import check_axes
from safs.pruning.methods.penalty import Penalty, Ramp, norms_behind, pulled_down, spread_behind_norms
from safs.pruning.protocol import Hooks, PruningTask, Steps, Trainer
from safs.pruning.selection.selector import check_selection, scored, selector
from safs.spec.job import PruneSpec
from safs.spec.options import Options


class Greg1Options(Options):
    """Of ``greg1``."""

    ceiling: float | None = Field(
        None,
        gt=0,
        description="where the penalty stops to grow; the larger, the less is left to remove. None: 1 / learning rate "
        "of prune.recipe, or 10 without one",
    )
    delta: float | None = Field(
        None, gt=0, description="by how much it grows each time; None: so that it is at its ceiling when it has to be"
    )
    every: int = Field(1, ge=1, description="steps between two growths")
    stabilise: float = Field(0.5, ge=0, lt=1, description="share of the training after which it must be at its ceiling")


class Greg2Options(Greg1Options):
    """Of ``greg2``."""

    pick_ceiling: float = Field(0.01, gt=0, description="penalty on all weights at which the choice is made")
    pick_delta: float | None = Field(
        None, gt=0, description="by how much it grows each time until then; None: so that half of the growth is before"
    )
    recover: float = Field(1e-4, ge=0, description="negative penalty on the weights that stay, from the choice on")


def greg1(trainer: Trainer, sparsity: float, spec: PruneSpec) -> Steps:
    """GReg-1: chooses as one-shot pruning does, then lets the penalty on the chosen grow to its ceiling.

    Published: delta 1e-4 every 5 or 10 steps to a ceiling of 1, then 5,000 to 40,000 steps to stabilise, learning rate
    0.001. By default delta is chosen so that half of the training stabilises.
    """
    (growing,) = _ramps(spec, pruning_options(spec, Greg1Options), trainer.epochs, trainer.steps_per_epoch)
    chosen = selector(trainer.model, trainer.example, spec)
    masks = chosen.choose(scored(trainer, spec), sparsity)
    norms = norms_behind(trainer)
    penalty = Penalty(dict(trainer.model.named_parameters()), pulled_down(trainer.model, masks, norms))
    yield from trainer.train(trainer.epochs, hooks=Hooks(after_backward=lambda step: penalty.add(growing.at(step))))
    return chosen.finish(masks, _notes(trainer, masks, norms))


def greg2(trainer: Trainer, sparsity: float, spec: PruneSpec) -> Steps:
    """GReg-2: a small penalty on all weights grows first, and what it shrinks most is chosen; then as GReg-1.

    For a loss of 1/2 sum h_i (w_i - w_i*)^2 the penalised minimum is w_i* h_i / (h_i + lambda): weights in flat
    directions shrink first, so magnitudes come to rank by curvature too, and no Hessian is computed. That is the
    paper's reason as recalled; the formula is checked by our tests. After the choice, weights that stay get a
    penalty of -1e-4 until the end, to recover.

    Published: delta 1e-5 to 0.01 before the choice, 1e-4 to 1 after it.
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
            masks = chosen.choose(scored(trainer, spec), sparsity)
            penalty = Penalty(parameters, pulled_down(trainer.model, masks, norms), kept=masks)
        penalty.add(growing.at(step - picking.steps), -options.recover)

    yield from trainer.train(trainer.epochs, hooks=Hooks(after_backward=penalise))
    assert masks is not None  # _ramps sees to it that there are steps after the choice
    return chosen.finish(masks, _notes(trainer, masks, norms))


def check(task: PruningTask) -> None:
    """Raises what ``greg1`` and ``greg2`` would raise, and where the penalty would make SGD diverge.

    Raises:
        UnknownNameError: no such score, distribution or granularity.
        SpecError: an option that does not fit, too few epochs, or an axis that these methods do not leave open.
        SparsityError: a layer would be left without weights.
        CompactionError: filters are to go, and the network cannot be made smaller.
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
                f"penalty of {largest:g} and more; prune.options.ceiling is {ceiling:g}. Lower it, or the learning "
                "rate.",
                field="prune.options.ceiling",
            )


def _ramps(spec: PruneSpec, options: Greg1Options, epochs: int, steps_per_epoch: int) -> tuple[Ramp, ...]:
    """How the penalty grows: before the choice (GReg-2 alone), and after it."""
    ceiling = _ceiling(spec, options)
    steps = floor((1 - options.stabilise) * epochs * steps_per_epoch)
    ramps = []
    if isinstance(options, Greg2Options):
        if options.pick_ceiling >= ceiling:
            raise SpecError(
                f"the penalty grows from pick_ceiling, {options.pick_ceiling:g}, to ceiling, {ceiling:g}, which must "
                "be larger.",
                field="prune.options.pick_ceiling",
            )
        ramps.append(_ramp(options.pick_delta, options.every, 0.0, options.pick_ceiling, steps // 2))
    start = ramps[0].ceiling if ramps else 0.0
    ramps.append(_ramp(options.delta, options.every, start, ceiling, steps - sum(r.steps for r in ramps)))
    if (needed := sum(ramp.steps for ramp in ramps)) > steps:
        least = ceil(needed / (1 - options.stabilise) / steps_per_epoch)
        raise SpecError(
            f"the penalty of {spec.method!r} grows for {needed:,} steps with these options, and prune.epochs {epochs} "
            f"leaves it {steps:,} besides the share that stabilises. Choose prune.epochs of at least {least}, or a "
            "larger prune.options.delta.",
            field="prune.epochs",
        )
    return tuple(ramps)


def _ceiling(spec: PruneSpec, options: Greg1Options) -> float:
    return options.ceiling or (1 / spec.recipe.learning_rate if spec.recipe else 10.0)


def _ramp(delta: float | None, every: int, start: float, ceiling: float, steps: int) -> Ramp:
    return Ramp(delta or (ceiling - start) / max(1, steps // every), every, ceiling, start)


def _notes(trainer: Trainer, masks: Masks, norms: Mapping[str, str]) -> tuple[str, ...]:
    """How far down what goes was pulled before it went."""
    weights = {name: one.detach().abs() for name, one in prunable_parameters(trainer.model).items()}
    removed = torch.cat([weights[name][~mask] for name, mask in masks.items()])
    kept = torch.cat([weights[name][mask] for name, mask in masks.items()])
    notes = []
    if len(removed):
        ratio = float(removed.mean() / kept.mean())
        notes.append(f"Just before removal, the mean size of what went was {ratio:.2g} of that of what stays.")
    if spread := spread_behind_norms(trainer, masks, norms):
        gone, others = spread
        notes.append(f"Behind batch norm, filters that went had a deviation of {gone:.2g}, the others {others:.2g}.")
    return tuple(notes)
