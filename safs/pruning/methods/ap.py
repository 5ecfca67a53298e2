"""AP, activate while pruning: part of what goes are negative weights, so that fewer ReLU neurons are dead.

Liu, Ghosh, Tan, Motani, "AP: Selective Activation for De-sparsifying Pruned Neural Networks" (2022), arXiv:2212.06145.
The steps are those of the authors' code; why they work is derived by us: where a layer reads inputs x >= 0, taking a
weight w < 0 away turns z into z - w x >= z, for every sample, so that a ReLU after it dies for none that it lived for.
Three limits follow.

- Where inputs can be negative the argument fails: in the first layer, which reads normalised images, and after GELU
  or LayerNorm. There the score alone decides, unless the option ``everywhere`` is set: the authors' code takes
  weights from all layers. What a layer reads is measured, not looked up in the graph.
- Batch norm between the layer and its ReLU re-centres z, and can cancel the effect.
- It is about dead neurons, and while many weights are left. Measured by us with SGD on perceptrons for 8x8 digits, the
  dynamic rate is clearly lower at a third of the weights (0.24 against 0.28, 0.31 in the control) and the same at a
  tenth and below, at equal accuracy; short trainings by Adam lost accuracy to it at a tenth and below.

Only prunable weights are ever looked at: no biases, no norms; and what is pruned is told by masks, not by zeros.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from safs.errors import SpecError
from safs.pruning.axes.distributions import DISTRIBUTIONS, live_total
from safs.pruning.axes.schedules import IterativeOptions, iterative
from safs.pruning.eval_mode import evaluating
from safs.pruning.masks import Masks, apply_masks, prunable_parameters
from safs.pruning.method_options import pruning_options
from safs.pruning.methods.composed import split_evenly
from safs.pruning.methods.dynamic import check_axes
from safs.pruning.protocol import Pruned, PruningTask, Steps, Trainer
from safs.pruning.selection.choose_masks import Scores, choose_masks
from safs.pruning.selection.selector import check_selection, scored
from safs.spec.job import PruneSpec


class ApOptions(IterativeOptions):
    """Of ``ap``."""

    activate: float = Field(0.1, ge=0, le=1, description="share of each round's removals that are negative weights")
    control: bool = Field(False, description="take positive weights in place of negative ones: the control")
    everywhere: bool = Field(False, description="also in layers whose inputs can be negative")


def prune(trainer: Trainer, sparsity: float, spec: PruneSpec) -> Steps:
    """In every round trains, removes a share of the live weights and rewinds the rest; at last trains once more.

    The job's score removes its part of the share by the job's distribution. Then, of the weights that are left and
    negative, those go that moved least since the round began: ``activate`` of the share, from whichever layers, unless
    the distribution gives every layer its count. So a round removes as many as it would by the score alone.

    In the authors' code a round removes 20% of the live weights, a tenth of these (2%) for having moved least, and
    draws new weights where it is not told to rewind. Here survivors are rewound or left as they are.
    """
    options = pruning_options(spec, ApOptions)
    parameters = prunable_parameters(trainer.model)
    start = {name: value.detach().clone() for name, value in trainer.model.state_dict().items()}
    masks = {name: torch.ones_like(one, dtype=torch.bool) for name, one in parameters.items()}
    weights, least_moved = _count(masks), 0
    *rounds, last = split_evenly(trainer.epochs, options.rounds + 1)
    for done, epochs in enumerate(rounds):
        before = {name: one.detach().clone() for name, one in parameters.items()}
        yield from trainer.train(epochs, masks=masks)
        live = live_total(weights, iterative(done / options.rounds, sparsity, options))
        masks, chosen = _prune_once(trainer, spec, options, masks, before, live)
        least_moved += chosen
        if options.rewind:
            trainer.model.load_state_dict(start)
    yield from trainer.train(last, masks=masks)
    apply_masks(parameters, masks)
    sign = "positive" if options.control else "negative"
    note = f"of {weights - _count(masks)} removed weights, {least_moved} were {sign} ones that had moved least"
    return Pruned(trainer.model, masks, notes=(note,))


def check(task: PruningTask) -> None:
    """Raises what ``prune`` would raise.

    Raises:
        UnknownNameError: no such score or distribution.
        SpecError: an option that does not fit, fewer epochs than trainings, or an axis that AP does not leave open.
        SparsityError: a layer would be left without weights.
    """
    options = pruning_options(task.spec, ApOptions)
    check_axes(task.spec, schedule="iterative", granularity="weight")
    check_selection(task)
    if task.spec.epochs < (trainings := options.rounds + 1):
        raise SpecError(
            f"pruning method 'ap' trains in each of its {options.rounds} rounds and once more, so it needs at least "
            f"{trainings} epochs; prune.epochs is {task.spec.epochs}. Raise it, or lower prune.options.rounds.",
            field="prune.epochs",
        )


def remove_least_moved(
    kept: Masks, candidates: Masks, moved: Scores, live: int, *, distribution: str, spared: Scores
) -> Masks:
    """``kept`` without the candidates that moved least: masks of exactly ``live`` weights.

    Where candidates run out, and in layers that have none while ``distribution`` gives every layer its count, the
    weights of the lowest ``spared`` go. Every layer keeps a weight.

    Args:
        spared: a score, such as the one that chose ``kept``.
    """
    tiers = {name: mask.int() + (mask & ~candidates[name]).int() for name, mask in kept.items()}
    values = {name: torch.where(tier == 1, moved[name], spared[name]) for name, tier in tiers.items()}
    by_layer = DISTRIBUTIONS[distribution].live_counts is not None
    return choose_masks(
        _ranked(tiers, values), live, distribution=distribution if by_layer else "global", granularity="weight"
    )


@torch.no_grad()
def layers_that_read_no_negatives(trainer: Trainer) -> set[str]:
    """Names of the prunable weights whose layers, in eval mode, read nothing below 0 in any of ``trainer.batches()``.

    A weight that layers share is among them if that holds for all of these layers; one whose layer is never called
    (attention reads ``out_proj`` without calling it) is not.
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


def _prune_once(
    trainer: Trainer, spec: PruneSpec, options: ApOptions, masks: Masks, before: Scores, live: int
) -> tuple[Masks, int]:
    """The masks after a round's removal, and how many weights went for having moved least."""
    parameters = prunable_parameters(trainer.model)
    scores = scored(trainer, spec, masks)
    share = round(options.activate * (_count(masks) - live))
    kept = choose_masks(scores, live + share, distribution=spec.distribution, granularity="weight")
    layers = set(parameters) if options.everywhere else layers_that_read_no_negatives(trainer)
    sign = 1 if options.control else -1
    candidates = {name: (one.detach().sign() == sign) & (name in layers) for name, one in parameters.items()}
    moved = {name: (one.detach() - before[name]).abs() for name, one in parameters.items()}
    left = remove_least_moved(kept, candidates, moved, live, distribution=spec.distribution, spared=scores)
    return left, _count({name: mask & candidates[name] & ~left[name] for name, mask in kept.items()})


def _ranked(tiers: Mapping[str, Tensor], values: Scores) -> Scores:
    """Scores that compare by tier (0, 1 or 2), then by value, without a sort.

    The bits of a double that is not negative count up as it does. Without the last two of them there is room for the
    tier, and what comes out is the bits of a finite double.
    """
    return {
        name: ((tier.long() << 61) + (values[name].double().view(torch.int64) >> 2)).view(torch.float64)
        for name, tier in tiers.items()
    }


def _count(masks: Masks) -> int:
    return int(torch.stack([mask.count_nonzero() for mask in masks.values()]).sum())
