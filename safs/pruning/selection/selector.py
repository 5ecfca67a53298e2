"""Selectors turn scores into masks and masks into the pruned network, by the job's distribution and granularity."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from safs.errors import UnknownNameError
from safs.pruning.axes.distributions import live_total
from safs.pruning.axes.scores import SCORES, ScoreInput
from safs.pruning.layer_limits import LayerLimits, layer_limits, refuse_limits
from safs.pruning.masks import Masks, apply_masks, prunable_parameters
from safs.pruning.protocol import Pruned, PruningTask, Trainer
from safs.pruning.removal.choose_units import Removal, check_removal, choose_units
from safs.pruning.removal.compaction import shrink
from safs.pruning.removal.coupling import find_groups
from safs.pruning.selection.choose_masks import Scores, check_choice, choose_masks
from safs.spec.pruning import PruneSpec

FILTER = "filter"
"""Name of the granularity that makes networks physically smaller."""


class Selector(Protocol):
    """A granularity's way to prune a network."""

    def choose(self, scores: Scores, sparsity: float) -> Masks:
        """Returns masks of exactly this sparsity that keep the highest scores; the model is left as it is."""

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
        return UnitSelector(model, example, spec.distribution)
    return MaskSelector(model, spec.distribution, spec.granularity, limits_of(model, spec))


@dataclass(frozen=True, slots=True)
class MaskSelector:
    """Prunes by zeros in place: single weights or groups of them; shapes stay."""

    model: nn.Module
    distribution: str
    granularity: str
    limits: LayerLimits

    def choose(self, scores: Scores, sparsity: float) -> Masks:
        live = live_total(sum(score.numel() for score in scores.values()), sparsity)
        return choose_masks(
            scores, live, distribution=self.distribution, granularity=self.granularity, limits=self.limits
        )

    def finish(self, masks: Masks, notes: tuple[str, ...] = ()) -> Pruned:
        apply_masks(prunable_parameters(self.model), masks)
        return Pruned(self.model, masks, notes=notes)


class UnitSelector:
    """Removes filters and neurons from the network, with the weights that read them.

    ``groups`` are the groups of the model; ``removal`` is the result of the last ``choose``.
    """

    def __init__(self, model: nn.Module, example: Tensor, distribution: str) -> None:
        self._model, self._example, self._distribution = model, example, distribution
        self.groups = find_groups(model, example)
        self.removal: Removal | None = None

    def choose(self, scores: Scores, sparsity: float) -> Masks:
        self.removal = choose_units(self.groups, scores, sparsity, self._distribution)
        return self.removal.masks

    def finish(self, masks: Masks, notes: tuple[str, ...] = ()) -> Pruned:
        assert self.removal is not None
        form, left = shrink(self._model, self.groups, self.removal, self._example)
        gone, units = sum(map(len, self.removal.units.values())), sum(group.units for group in self.groups)
        return Pruned(self._model, left, form, (*notes, f"{gone:,} of {units:,} filters and neurons were removed."))


def limits_of(model: nn.Module, spec: PruneSpec) -> LayerLimits:
    """Returns the layers of ``model`` that ``spec`` excludes or gives a sparsity of their own."""
    return layer_limits(spec, {name: parameter.shape for name, parameter in prunable_parameters(model).items()})


def scored(trainer: Trainer, spec: PruneSpec, masks: Masks | None = None) -> dict[str, Tensor]:
    """Returns the scores of all prunable weights of the trainer's model by ``spec.score``; pruned weights score 0."""
    return SCORES[spec.score].compute(ScoreInput(trainer.model, masks, trainer.batches, trainer.seed))


def check_selection(task: PruningTask) -> None:
    """Raises the errors that selecting ``task.sparsity`` of the network would raise."""
    spec = task.spec
    check_score(spec)
    shapes = {name: parameter.shape for name, parameter in prunable_parameters(task.model).items()}
    if spec.granularity == FILTER:
        refuse_limits(spec, "granularity 'filter'")
        check_removal(find_groups(task.model, task.example), shapes, task.sparsity)
        return
    check_choice(
        shapes,
        task.sparsity,
        distribution=spec.distribution,
        granularity=spec.granularity,
        limits=layer_limits(spec, shapes),
    )


def check_score(spec: PruneSpec) -> None:
    """Raises UnknownNameError if there is no score of that name."""
    if spec.score not in SCORES:
        raise UnknownNameError("score", spec.score, SCORES, field="prune.score")
