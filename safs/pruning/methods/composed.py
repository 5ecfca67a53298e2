"""Pruning composed of the four axes: score, distribution, granularity and schedule.

After Lee et al., "JaxPruner" (2023), arXiv:2304.14082: methods are compositions of independent parts.
"""

import torch
from pydantic import Field
from torch import Tensor

from safs.errors import SpecError, UnknownNameError
from safs.pruning.axes.granularity import Pattern, granularity_named
from safs.pruning.axes.schedules import PRUNING_SCHEDULES, IterativeOptions, iterative
from safs.pruning.masks import Masks, prunable_parameters
from safs.pruning.method_options import pruning_options
from safs.pruning.protocol import Hooks, Pruned, PruningTask, Steps, Trainer
from safs.pruning.selection.selector import Selector, check_selection, remaining_sparsity, scored, selector
from safs.spec.options import Options
from safs.spec.pruning import PruneSpec

UPDATES = 100
"""Number of times a gradual schedule prunes, as in long published trainings that prune every 100 to 1,000 steps."""
SYNFLOW_ROUNDS = 100
"""Rounds of one-shot pruning by the score ``synflow``, as published."""


class OneShotOptions(Options):
    """Options of the schedule ``one_shot``."""

    rounds: int | None = Field(
        None, ge=1, le=1000, description="number of rounds, with new scores in each; None: 100 for synflow, else 1"
    )


def prune(trainer: Trainer, sparsity: float, spec: PruneSpec) -> Steps:
    """Prunes by the job's score, distribution, granularity and schedule."""
    return (yield from compose(trainer, sparsity, spec, selector(trainer.model, trainer.example, spec)))


def compose(trainer: Trainer, sparsity: float, spec: PruneSpec, chosen: Selector) -> Steps:
    """Prunes by the job's score and schedule, with the selector ``chosen``."""
    sparsity = remaining_sparsity(sparsity, chosen.start)
    if spec.schedule == "one_shot":
        return _one_shot(trainer, sparsity, spec, chosen)
    return (yield from (_iterative if spec.schedule == "iterative" else _gradual)(trainer, sparsity, spec, chosen))


def check(task: PruningTask) -> None:
    """Raises the errors of ``prune``.

    Raises:
        UnknownNameError: no such score, distribution, schedule or granularity.
        SpecError: an invalid option, or epochs that do not fit the schedule.
        SparsityError: a layer would be left without weights.
    """
    check_schedule(task.spec)
    check_selection(task)


def check_schedule(spec: PruneSpec) -> None:
    """Raises the errors of ``compose`` for the job's schedule, its options and its epochs."""
    if spec.schedule not in PRUNING_SCHEDULES:
        raise UnknownNameError("pruning schedule", spec.schedule, PRUNING_SCHEDULES, field="prune.schedule")
    if spec.schedule == "one_shot":
        steps = _one_shot_rounds(spec)
        check_epochs(spec, 0)
    else:
        options = pruning_options(spec, PRUNING_SCHEDULES[spec.schedule].options)
        steps = options.rounds if isinstance(options, IterativeOptions) else UPDATES
        check_epochs(spec, options.rounds if isinstance(options, IterativeOptions) else 1)
    if steps > 1 and _is_pattern(spec):
        raise SpecError(
            f"granularity {spec.granularity!r} has a single sparsity, which cannot be approached in steps. Choose the "
            "schedule 'one_shot' or 'iterative' with prune.options.rounds 1.",
            field="prune.schedule",
        )


def check_epochs(spec: PruneSpec, needed: int) -> None:
    """Raises SpecError if ``spec.epochs`` is below ``needed``, or above 0 while ``needed`` is 0."""
    if needed == 0 and spec.epochs > 0:
        raise SpecError(
            f"prune.schedule {spec.schedule!r} trains nothing, so prune.epochs cannot be {spec.epochs}; leave it out, "
            "or choose another schedule.",
            field="prune.epochs",
        )
    if spec.epochs < needed:
        raise SpecError(
            f"pruning method {spec.method!r} with schedule {spec.schedule!r} needs at least {needed} epochs; "
            f"prune.epochs is {spec.epochs}.",
            field="prune.epochs",
        )


def _one_shot(trainer: Trainer, sparsity: float, spec: PruneSpec, chosen: Selector) -> Pruned:
    """Prunes without training, in rounds that each remove the same share of the live weights.

    Tanaka et al. (2020), arXiv:2006.05467, for more than one round.
    """
    rounds = _one_shot_rounds(spec)
    masks: Masks | None = None
    for done in range(rounds):
        wanted = iterative(done / rounds, sparsity, IterativeOptions(rounds=rounds))
        masks = chosen.choose(scored(trainer, spec, masks), wanted)
    assert masks is not None
    return chosen.finish(masks)


def _one_shot_rounds(spec: PruneSpec) -> int:
    by_itself = SYNFLOW_ROUNDS if spec.score == "synflow" and not _is_pattern(spec) else 1
    return pruning_options(spec, OneShotOptions).rounds or by_itself


def _iterative(trainer: Trainer, sparsity: float, spec: PruneSpec, chosen: Selector) -> Steps:
    """Prunes the same share of the live weights in every round, and trains after each.

    With ``rewind``, the weights return to their values at the start of the stage before each training (Frankle and
    Carbin 2019, arXiv:1803.03635); without it, training goes on from the current weights.
    """
    options = pruning_options(spec, IterativeOptions)
    start = {name: value.detach().clone() for name, value in trainer.model.state_dict().items()}
    masks: Masks | None = None
    for done, epochs in enumerate(split_evenly(trainer.epochs, options.rounds)):
        wanted = iterative(done / options.rounds, sparsity, options)
        masks = chosen.choose(scored(trainer, spec, masks), wanted)
        if options.rewind:
            trainer.model.load_state_dict(start)
        yield from trainer.train(epochs, masks=masks)
    assert masks is not None
    return chosen.finish(masks)


def _gradual(trainer: Trainer, sparsity: float, spec: PruneSpec, chosen: Selector) -> Steps:
    """Prunes a little every few steps of one training; weights come back where the schedule lets the density rise.

    The pruned weights with the largest gradients come back, as in Evci et al. 2020, arXiv:1911.11134. While the density
    falls no weight comes back, except for single ones under ``uniform`` and ``erk``, whose counts are rounded.

    A network that is pruned already goes on from its sparsity s: the schedule's course from 0 to the final sparsity f
    becomes one from s to f, which for ``cubic`` is f + (s - f) (1 - t)^3, the published formula with a first sparsity.
    """
    schedule = PRUNING_SCHEDULES[spec.schedule]
    options = pruning_options(spec, schedule.options)
    steps = trainer.epochs * trainer.steps_per_epoch
    every = max(1, steps // UPDATES)
    parameters = prunable_parameters(trainer.model)
    masks = trainer.masks or chosen.start or _everything(parameters)
    now = since = _sparsity(masks, chosen.start)

    def wanted_at(progress: float) -> float:
        own = schedule.sparsity_at(progress, sparsity, options)
        return own if since == 0 else since + (sparsity - since) * own / sparsity

    def update(step: int) -> Masks | None:
        nonlocal now, masks
        wanted = wanted_at((step + 1) / steps)
        if (step + 1) % every or wanted == now:
            return None
        scores = scored(trainer, spec, masks)
        if wanted < now:
            scores = with_regrowth(scores, masks, {name: one.grad for name, one in parameters.items()})
        now, masks = wanted, chosen.choose(scores, wanted)
        return masks

    if (first := wanted_at(0.0)) > since:
        now, masks = first, chosen.choose(scored(trainer, spec, trainer.masks), first)
    yield from trainer.train(trainer.epochs, masks=masks, hooks=Hooks(after_step=update))
    if now != sparsity:
        masks = chosen.choose(scored(trainer, spec, masks), sparsity)
    return chosen.finish(masks)


def split_evenly(epochs: int, rounds: int) -> list[int]:
    """Splits ``epochs`` into ``rounds`` whole numbers that differ by at most 1, the larger ones last.

    >>> split_evenly(11, 3)
    [3, 4, 4]
    """
    return [epochs * (place + 1) // rounds - epochs * place // rounds for place in range(rounds)]


def with_regrowth(scores: dict[str, Tensor], masks: Masks, gradients: dict[str, Tensor | None]) -> dict[str, Tensor]:
    """Returns the scores of live weights, and below all of them those of pruned weights by the size of their gradients.

    The result is float64, since live scores can be the smallest numbers of their own type.
    """
    live = torch.cat([score[masks[name]] for name, score in scores.items()]).double()
    smallest = live[live > 0].min()
    grown = {name: torch.zeros_like(score, dtype=torch.float64) for name, score in scores.items()}
    for name, gradient in gradients.items():
        if gradient is not None:
            grown[name] = gradient.detach().abs().double()
    largest = max(float(one.max()) for one in grown.values()) or 1.0
    return {
        name: torch.where(masks[name], score.double(), grown[name] / largest * smallest / 2)
        for name, score in scores.items()
    }


def _sparsity(masks: Masks, start: Masks | None) -> float:
    """Returns the fraction of the weights of ``start`` that ``masks`` prune; ``start`` None: of all weights."""
    weights = sum(mask.numel() if start is None else int(start[name].sum()) for name, mask in masks.items())
    return 1 - sum(int(mask.sum()) for mask in masks.values()) / weights


def _is_pattern(spec: PruneSpec) -> bool:
    return isinstance(granularity_named(spec.granularity), Pattern)


def _everything(parameters: dict[str, torch.nn.Parameter]) -> Masks:
    return {name: torch.ones_like(one, dtype=torch.bool) for name, one in parameters.items()}
