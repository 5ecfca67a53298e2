"""AP, activate while pruning: removes some negative weights in each round, so that fewer ReLU neurons are dead.

Liu, Ghosh, Tan, Motani, "AP: Selective Activation for De-sparsifying Pruned Neural Networks" (2022), arXiv:2212.06145.
The steps are those of the authors' code. The reason why they work is derived by us: where a layer reads inputs x >= 0,
removing a weight w < 0 turns z into z - w x >= z for every sample, so no ReLU after the layer dies by it. Three limits
follow.

- The argument fails where inputs can be negative: in the first layer, which reads normalised images, and after GELU or
  LayerNorm. There the score alone decides, unless the option ``everywhere`` is set; the authors' code takes weights
  from all layers. Which layers qualify is measured on training images, not derived from the graph.
- Batch norm between the layer and its ReLU re-centres z and can cancel the effect.
- The method is about dead neurons, while many weights are left. Measured by us with SGD on perceptrons for 8x8 digits,
  the dynamic dead-neuron rate is clearly lower at a third of the weights (0.24 against 0.28, and 0.31 in the control)
  and the same at a tenth and below, at equal accuracy. Short trainings by Adam lost accuracy at a tenth and below.

Only prunable weights are considered, no biases and no norms; masks say what is pruned, not zeros.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from math import ceil, log
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from safs.errors import SpecError
from safs.pruning.axes.distributions import DISTRIBUTIONS, live_total
from safs.pruning.axes.schedules import IterativeOptions, iterative
from safs.pruning.eval_mode import evaluating
from safs.pruning.held_zeros import sparsity_beyond, start_masks
from safs.pruning.layer_limits import NO_LIMITS, LayerLimits
from safs.pruning.masks import Masks, apply_masks, prunable_parameters
from safs.pruning.method_options import pruning_options
from safs.pruning.methods.composed import split_evenly
from safs.pruning.methods.dynamic import check_axes
from safs.pruning.protocol import Pruned, PruningTask, Steps, Trainer
from safs.pruning.selection.choose_masks import Scores, choose_masks
from safs.pruning.selection.selector import check_selection, limits_of, remaining_sparsity, scored
from safs.spec.options import Options
from safs.spec.pruning import PruneSpec

SHARE = 0.2
"""Published share of the live weights that a round removes."""


class ApOptions(Options):
    """Options of ``ap``."""

    rounds: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="number of rounds; each trains, then prunes. None: as many as remove 20% of the live weights each, "
        "or one fewer than prune.epochs",
    )
    rewind: bool = Field(True, description="true: weights return to their first values before each training")
    activate: float = Field(0.1, ge=0, le=1, description="share of each round's removals that are negative weights")
    control: bool = Field(False, description="true: remove positive weights instead of negative ones, as a control")
    everywhere: bool = Field(False, description="true: also take weights from layers whose inputs can be negative")


def prune(trainer: Trainer, sparsity: float, spec: PruneSpec) -> Steps:
    """Trains, removes a share of the live weights and rewinds the rest in every round; trains once more at the end.

    The job's score and distribution remove their part of the share. Then the negative weights that moved least since
    the round began are removed: ``activate`` of the share, from any layer, unless the distribution fixes the count of
    every layer. In total, a round removes as many weights as it would by the score alone.

    As in the authors' code, a round removes 20% of the live weights by default, a tenth of these (2%) by movement. That
    code draws new weights if it does not rewind; here weights are rewound or stay as they are.
    """
    options = pruning_options(spec, ApOptions)
    parameters = prunable_parameters(trainer.model)
    start = {name: value.detach().clone() for name, value in trainer.model.state_dict().items()}
    first = start_masks(trainer.model, spec)
    masks = first or {name: torch.ones_like(one, dtype=torch.bool) for name, one in parameters.items()}
    limits, sparsity = limits_of(trainer.model, spec, first), remaining_sparsity(sparsity, first)
    weights, least_moved, qualified = _count(masks), 0, False
    rounds = _rounds(options, sparsity, trainer.epochs)
    *trainings, last = split_evenly(trainer.epochs, rounds + 1)
    for done, epochs in enumerate(trainings):
        before = {name: one.detach().clone() for name, one in parameters.items()}
        yield from trainer.train(epochs, masks=masks)
        live = live_total(weights, iterative(done / rounds, sparsity, IterativeOptions(rounds=rounds)))
        layers = set(parameters) if options.everywhere else layers_that_read_no_negatives(trainer)
        masks, chosen = _prune_once(trainer, spec, options, layers, masks, before, live, limits, first)
        least_moved, qualified = least_moved + chosen, qualified or bool(layers)
        if options.rewind:
            trainer.model.load_state_dict(start)
    yield from trainer.train(last, masks=masks)
    apply_masks(parameters, masks)
    sign = "positive" if options.control else "negative"
    notes = [f"Of {weights - _count(masks)} removed weights, {least_moved} were {sign} ones that had moved least."]
    if options.rounds is None and rounds < (needed := _published_rounds(sparsity)):
        notes.append(
            f"Each of the {rounds} rounds removed {1 - (1 - sparsity) ** (1 / rounds):.0%} of the live weights; the "
            f"published 20% takes {needed} rounds, so prune.epochs of at least {needed + 1}."
        )
    if not qualified:
        notes.append(
            "The inputs of every layer can be negative, so AP took no weights and this was iterative pruning by the "
            "score alone. The option everywhere takes negative weights from all layers, as the authors' code does."
        )
    return Pruned(trainer.model, masks, notes=tuple(notes))


def check(task: PruningTask) -> None:
    """Raises the errors of ``prune``.

    Raises:
        UnknownNameError: no such score or distribution.
        SpecError: an invalid option, fewer epochs than trainings, or another value on an axis that AP fixes.
        SparsityError: a layer would be left without weights.
    """
    options = pruning_options(task.spec, ApOptions)
    check_axes(task.spec, schedule="iterative", granularity="weight")
    check_selection(task)
    weights = sum(parameter.numel() for parameter in prunable_parameters(task.model).values())
    rounds = _rounds(options, sparsity_beyond(task.sparsity, weights, sum(task.held.values())), task.spec.epochs)
    if task.spec.epochs < rounds + 1:
        advice = "Raise it." if options.rounds is None else "Raise it, or lower prune.options.rounds."
        raise SpecError(
            f"pruning method 'ap' trains once per round and once more at the end; with {rounds} "
            f"round{'' if rounds == 1 else 's'} it needs at least {rounds + 1} epochs, but prune.epochs is "
            f"{task.spec.epochs}. {advice}",
            field="prune.epochs",
        )


def remove_least_moved(
    kept: Masks,
    candidates: Masks,
    moved: Scores,
    live: int,
    *,
    distribution: str,
    spared: Scores,
    limits: LayerLimits = NO_LIMITS,
    start: Masks | None = None,
) -> Masks:
    """Returns masks of exactly ``live`` weights: ``kept`` without the candidates that moved least.

    If there are too few candidates, in total or in a layer whose count ``distribution`` fixes, the weights of the
    lowest ``spared`` scores are removed as well. Every layer keeps a weight.

    Args:
        moved: how far each weight moved, not below 0.
        spared: a score, such as the one that chose ``kept``.
        start: masks of the weights that may be kept; None: all of them.
    """
    tiers = {name: mask.int() + (mask & ~candidates[name]).int() for name, mask in kept.items()}
    values = {name: torch.where(tier == 1, moved[name], spared[name]) for name, tier in tiers.items()}
    by_layer = DISTRIBUTIONS[distribution].live_counts is not None
    return choose_masks(
        _ranked(tiers, values),
        live,
        distribution=distribution if by_layer else "global",
        granularity="weight",
        limits=limits,
        start=start,
    )


@torch.no_grad()
def layers_that_read_no_negatives(trainer: Trainer) -> set[str]:
    """Returns the names of the prunable weights whose layers read no input below 0 in ``trainer.batches()``.

    The layers are run in eval mode. A shared weight qualifies if all its layers do. A weight of a layer that is never
    called does not qualify (attention reads ``out_proj`` without calling it).
    """
    names = {id(parameter): name for name, parameter in prunable_parameters(trainer.model).items()}
    lowest: dict[str, Tensor] = {}

    def look(name: str, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        low = (args[0] if args else kwargs["input"]).detach().min()
        lowest[name] = torch.minimum(lowest.get(name, low), low)

    with ExitStack() as stack:
        for module in trainer.model.modules():
            if (name := names.get(id(getattr(module, "weight", None)))) is not None:
                handle = module.register_forward_pre_hook(partial(look, name), with_kwargs=True)
                stack.callback(handle.remove)
        stack.enter_context(evaluating(trainer.model, trainer.seed))
        for images, _ in trainer.batches():
            trainer.model(images)
    return {name for name, low in lowest.items() if low >= 0}


def _rounds(options: ApOptions, sparsity: float, epochs: int) -> int:
    """Returns the number of rounds, at least 1."""
    return options.rounds or max(1, min(_published_rounds(sparsity), epochs - 1))


def _published_rounds(sparsity: float) -> int:
    """Returns the fewest rounds that reach ``sparsity`` with at most ``SHARE`` of the live weights in each.

    >>> [_published_rounds(sparsity) for sparsity in (0.0, 0.2, 0.36, 0.9, 0.99)]
    [1, 1, 2, 11, 21]
    """
    return max(1, ceil(log(1 - sparsity) / log(1 - SHARE) - 1e-9))


def _prune_once(
    trainer: Trainer,
    spec: PruneSpec,
    options: ApOptions,
    layers: set[str],
    masks: Masks,
    before: Scores,
    live: int,
    limits: LayerLimits,
    first: Masks | None,
) -> tuple[Masks, int]:
    """Returns the masks after a round, and the number of weights removed by movement, from ``layers``."""
    parameters = prunable_parameters(trainer.model)
    scores = scored(trainer, spec, masks)
    share = round(options.activate * (_count(masks) - live))
    kept = choose_masks(
        scores, live + share, distribution=spec.distribution, granularity="weight", limits=limits, start=first
    )
    sign = 1 if options.control else -1
    candidates = {name: (one.detach().sign() == sign) & (name in layers) for name, one in parameters.items()}
    moved = {name: (one.detach() - before[name]).abs() for name, one in parameters.items()}
    left = remove_least_moved(
        kept, candidates, moved, live, distribution=spec.distribution, spared=scores, limits=limits, start=first
    )
    return left, _count({name: mask & candidates[name] & ~left[name] for name, mask in kept.items()})


def _ranked(tiers: Mapping[str, Tensor], values: Scores) -> Scores:
    """Returns scores that compare by tier (0, 1 or 2), then by value, without a sort.

    The bits of non-negative doubles, read as integers, have the order of the doubles. Dropping the last two bits makes
    room for the tier, and the result is again a finite double.
    """
    return {
        name: ((tier.long() << 61) + (values[name].double().view(torch.int64) >> 2)).view(torch.float64)
        for name, tier in tiers.items()
    }


def _count(masks: Masks) -> int:
    return int(torch.stack([mask.count_nonzero() for mask in masks.values()]).sum())
