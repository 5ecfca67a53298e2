"""Selectors turn scores into masks and masks into the pruned network, by the job's distribution and granularity."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from safs.errors import UnknownNameError
from safs.pruning.axes.distributions import live_total
from safs.pruning.axes.granularity import Pattern, granularity_named
from safs.pruning.axes.scores import SCORES, ScoreInput
from safs.pruning.held_zeros import refuse_keep_zeros, sparsity_beyond, start_masks, zeros_of
from safs.pruning.layer_limits import NO_LIMITS, LayerLimits, check_limits, layer_limits
from safs.pruning.masks import Masks, apply_masks, prunable_parameters
from safs.pruning.protocol import Pruned, PruningTask, Trainer
from safs.pruning.removal.choose_units import Removal, check_removal, choose_units, free_groups
from safs.pruning.removal.compaction import shrink
from safs.pruning.removal.coupling import find_groups
from safs.pruning.selection.choose_masks import Scores, check_choice, choose_masks
from safs.spec.pruning import PruneSpec

FILTER = "filter"
"""Name of the granularity that makes networks physically smaller."""
UNITS_ARE_WHOLE = "filters and neurons are removed as a whole, and zeros in those that stay would not be counted"
"""The reason why ``filter`` cannot keep zeros."""


class Selector(Protocol):
    """A granularity's way to prune a network."""

    @property
    def start(self) -> Masks | None:
        """Masks of the weights that pruning may keep, in training too; None: all of them."""

    def choose(self, scores: Scores, sparsity: float) -> Masks:
        """Returns masks of exactly this sparsity that keep the highest scores; the model is left as it is.

        Args:
            sparsity: fraction of the weights of ``start``.
        """

    def finish(self, masks: Masks, notes: tuple[str, ...] = ()) -> Pruned:
        """Returns the pruned network, with zeros in place or physically smaller.

        Args:
            masks: the masks that ``choose`` returned last.
        """


def selector(model: nn.Module, example: Tensor, spec: PruneSpec) -> Selector:
    """Returns the selector for ``spec.granularity``.

    Raises:
        UnknownNameError: no such distribution or granularity.
        CompactionError: the granularity is ``filter`` and the network cannot be made smaller.
    """
    if spec.granularity == FILTER:
        return UnitSelector(model, example, spec.distribution, limits_of(model, spec))
    start = start_masks(model, spec)
    return MaskSelector(model, spec.distribution, spec.granularity, limits_of(model, spec, start), start)


@dataclass(frozen=True, slots=True)
class MaskSelector:
    """Prunes by zeros in place: single weights or groups of them; shapes stay."""

    model: nn.Module
    distribution: str
    granularity: str
    limits: LayerLimits
    start: Masks | None

    def choose(self, scores: Scores, sparsity: float) -> Masks:
        weights = sum(self.limits.sizes({name: score.shape for name, score in scores.items()}).values())
        return choose_masks(
            scores,
            live_total(weights, sparsity),
            distribution=self.distribution,
            granularity=self.granularity,
            limits=self.limits,
            start=self.start,
        )

    def finish(self, masks: Masks, notes: tuple[str, ...] = ()) -> Pruned:
        apply_masks(prunable_parameters(self.model), masks)
        return Pruned(self.model, masks, notes=notes)


class UnitSelector:
    """Removes filters and neurons from the network, with the weights that read them.

    ``groups`` are the groups of the model; ``removal`` is the result of the last ``choose``.
    """

    start: Masks | None = None

    def __init__(self, model: nn.Module, example: Tensor, distribution: str, limits: LayerLimits = NO_LIMITS) -> None:
        self._model, self._example, self._distribution, self._limits = model, example, distribution, limits
        self.groups = free_groups(find_groups(model, example), limits)
        self.removal: Removal | None = None

    def choose(self, scores: Scores, sparsity: float) -> Masks:
        self.removal = choose_units(self.groups, scores, sparsity, self._distribution, self._limits)
        return self.removal.masks

    def finish(self, masks: Masks, notes: tuple[str, ...] = ()) -> Pruned:
        assert self.removal is not None
        form, left = shrink(self._model, self.groups, self.removal, self._example)
        gone, units = sum(map(len, self.removal.units.values())), sum(group.units for group in self.groups)
        return Pruned(self._model, left, form, (*notes, f"{gone:,} of {units:,} filters and neurons were removed."))


def limits_of(model: nn.Module, spec: PruneSpec, start: Masks | None = None) -> LayerLimits:
    """Returns the layers of ``model`` that ``spec`` excludes or gives a sparsity of their own.

    Args:
        start: masks of the weights that may be kept; None: all of them.
    """
    shapes = {name: parameter.shape for name, parameter in prunable_parameters(model).items()}
    return layer_limits(spec, shapes, zeros_of(start))


def remaining_sparsity(sparsity: float, start: Masks | None) -> float:
    """Returns the fraction of the weights of ``start`` that are pruned at ``sparsity``, a fraction of all weights."""
    return sparsity_beyond(
        sparsity, sum(mask.numel() for mask in (start or {}).values()), sum(zeros_of(start).values())
    )


def scored(trainer: Trainer, spec: PruneSpec, masks: Masks | None = None) -> dict[str, Tensor]:
    """Returns the scores of all prunable weights of the trainer's model by ``spec.score``; pruned weights score 0."""
    return SCORES[spec.score].compute(ScoreInput(trainer.model, masks, trainer.batches, trainer.seed))


def check_selection(task: PruningTask) -> None:
    """Raises the errors that selecting ``task.sparsity`` of the network would raise."""
    spec = task.spec
    check_score(spec)
    shapes = {name: parameter.shape for name, parameter in prunable_parameters(task.model).items()}
    if spec.granularity == FILTER:
        refuse_keep_zeros(spec, UNITS_ARE_WHOLE)
        limits = layer_limits(spec, shapes)
        check_limits(shapes, task.sparsity, limits)
        check_removal(free_groups(find_groups(task.model, task.example), limits), shapes, task.sparsity, limits)
        return
    if isinstance(granularity_named(spec.granularity), Pattern):
        refuse_keep_zeros(
            spec,
            f"granularity {spec.granularity!r} keeps the same number of weights in every block, and a block can have "
            "fewer that are not zero",
        )
    check_choice(
        shapes,
        task.sparsity,
        distribution=spec.distribution,
        granularity=spec.granularity,
        limits=layer_limits(spec, shapes, task.held),
    )


def check_score(spec: PruneSpec) -> None:
    """Raises UnknownNameError if there is no score of that name."""
    if spec.score not in SCORES:
        raise UnknownNameError("score", spec.score, SCORES, field="prune.score")
