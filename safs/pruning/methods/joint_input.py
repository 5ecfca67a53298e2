"""Joint pruning of weights and inputs: inputs that no weight reads are removed from the data too.

Hubens, Delvigne, Mancas, Gosselin, Preda, Zaharia, "Induced Feature Selection by Structured Pruning" (2023),
arXiv:2303.10999. Only the abstract was available; the rest is reconstructed from the first author's library, fasterai.
While the network trains, neurons, filters and inputs are masked by the size of their weights, on the one-cycle
schedule. Inputs without a reader, and units without inputs or readers, are removed from the network. The following
stages train the smaller network on the reduced images.
"""

import torch
from torch import Tensor, nn

from safs.inputs import InputSelection
from safs.pruning.held_zeros import refuse_keep_zeros
from safs.pruning.layer_limits import LayerLimits, check_limits, layer_limits
from safs.pruning.masks import Masks, prunable_parameters
from safs.pruning.methods.composed import check_schedule, compose
from safs.pruning.methods.dynamic import check_axes
from safs.pruning.protocol import Pruned, PruningTask, Steps, Trainer
from safs.pruning.removal.choose_units import Removal, check_removal, choose_units, free_groups
from safs.pruning.removal.compaction import shrink
from safs.pruning.removal.constants import norms_behind, shift
from safs.pruning.removal.coupling import find_groups
from safs.pruning.removal.input_units import NAME, Inputs, find_inputs, mean_and_deviation
from safs.pruning.removal.units import UnitGroup
from safs.pruning.selection.choose_masks import Scores
from safs.pruning.selection.selector import UNITS_ARE_WHOLE, check_score, limits_of
from safs.spec.pruning import PruneSpec


def prune(trainer: Trainer, sparsity: float, spec: PruneSpec) -> Steps:
    """Removes filters, neurons and inputs together, to exactly ``sparsity`` of the dense network's weights.

    Perceptrons lose pixels. Convolutional networks lose channels, since all pixels share their weights; the channel of
    grey images stays. How the authors select inputs of convolutional networks is not known to us.
    """
    return (
        yield from compose(
            trainer, sparsity, spec, _InputSelector(trainer, spec.distribution, limits_of(trainer.model, spec))
        )
    )


def check(task: PruningTask) -> None:
    """Raises the errors of ``prune``.

    Raises:
        SpecError: an invalid option, no epoch, or another granularity than ``filter``.
        CompactionError: the network cannot be made smaller.
        SparsityError: one unit in every layer has more weights than the sparsity leaves.
    """
    spec = task.spec
    check_axes(spec, granularity="filter")
    refuse_keep_zeros(spec, UNITS_ARE_WHOLE)
    check_score(spec)
    check_schedule(spec)
    shapes = {name: parameter.shape for name, parameter in prunable_parameters(task.model).items()}
    limits = layer_limits(spec, shapes)
    check_limits(shapes, task.sparsity, limits)
    _, groups = _free_inputs_and_groups(task.model, task.example, limits)
    check_removal(groups, shapes, task.sparsity, limits)


def _free_inputs_and_groups(
    model: nn.Module, example: Tensor, limits: LayerLimits
) -> tuple[Inputs | None, tuple[UnitGroup, ...]]:
    """Returns the inputs that can be removed, and all groups of units, those of the inputs first.

    Inputs that a layer of ``limits`` reads, and units with weights in it, stay.
    """
    inputs = find_inputs(model, example)
    own = free_groups([] if inputs is None else [inputs.group], limits)
    return inputs if own else None, (*own, *free_groups(find_groups(model, example), limits))


class _InputSelector:
    """Selects filters, neurons and inputs; the inputs are treated as neurons of a layer before the first.

    The score of a first layer's weight is multiplied by the standard deviation of its input over training images: the
    scale of an input is arbitrary, and constant inputs, such as black borders, carry no information and are removed
    first. This is our addition; fasterai takes the weights as they are.
    """

    start: Masks | None = None

    def __init__(self, trainer: Trainer, distribution: str, limits: LayerLimits) -> None:
        self._trainer, self._distribution, self._limits = trainer, distribution, limits
        self._inputs, self._groups = _free_inputs_and_groups(trainer.model, trainer.example, limits)
        if self._inputs is not None:
            self._mean, self._deviation = mean_and_deviation(trainer, self._inputs.kind)
        self._removal: Removal | None = None

    def choose(self, scores: Scores, sparsity: float) -> Masks:
        scaled = dict(scores)
        for slot in self._inputs.group.consumers if self._inputs else ():
            scaled[slot.name] = scores[slot.name] * _along_inputs(self._deviation, scores[slot.name])
        self._removal = choose_units(self._groups, scaled, sparsity, self._distribution, self._limits)
        return self._removal.masks

    def finish(self, masks: Masks, notes: tuple[str, ...] = ()) -> Pruned:
        assert self._removal is not None
        model, kept = self._trainer.model, self._kept()
        self._fold_means()
        form, left = shrink(model, self._groups, self._removal, self._trainer.example, kept)
        units = sum(group.units for group in self._groups if group.name != NAME)
        gone = sum(len(units) for name, units in self._removal.units.items() if name != NAME)
        notes += (f"{gone:,} of {units:,} filters and neurons were removed.", self._inputs_note(kept))
        return Pruned(model, left, form, notes)

    def _kept(self) -> InputSelection | None:
        gone = set(self._removal.units[NAME]) if self._removal and self._inputs else set()
        if self._inputs is None or not gone:
            return None
        return InputSelection(self._inputs.kind, tuple(sorted(set(range(self._inputs.group.units)) - gone)))

    @torch.no_grad()
    def _fold_means(self) -> None:
        """Adds the mean contribution of removed pixels to the biases of their readers, exact for constant pixels.

        Channels are not folded: padding makes their contribution vary, and the mean of normalised channels is nearly 0.
        """
        if self._inputs is None or self._inputs.kind == "channel" or self._removal is None:
            return
        gone = torch.tensor(self._removal.units[NAME], dtype=torch.int64, device=self._mean.device)
        norms = norms_behind(self._trainer.model)
        for slot in self._inputs.group.consumers:
            path = slot.name.rpartition(".")[0]
            layer = self._trainer.model.get_submodule(path)
            shift(layer, norms.get(path), layer.get_parameter("weight")[:, gone] @ self._mean[gone])

    def _inputs_note(self, kept: InputSelection | None) -> str:
        if self._inputs is None:
            return "No input of the network can be removed."
        count = self._inputs.group.units
        return f"{len(kept.kept) if kept else count:,} of {count:,} input {self._inputs.kind}s are read."


def _along_inputs(values: Tensor, weight: Tensor) -> Tensor:
    """Reshapes ``values``, [inputs], so that they multiply the columns of ``weight``, [out, inputs, *kernel]."""
    return values.view(1, -1, *(1 for _ in weight.shape[2:]))
