"""Joint pruning of weights and inputs: features that no weight reads leave the data, too.

Hubens, Delvigne, Mancas, Gosselin, Preda, Zaharia, "Induced Feature Selection by Structured Pruning" (2023),
arXiv:2303.10999. Only its abstract was at hand; the rest is reconstructed from the first author's library, fasterai.
Neurons, filters and inputs are masked ever more by the size of their weights while the network trains, on one-cycle's
schedule. Inputs without a reader and units without input or reader leave the network, which is then trained on, on the
reduced images.
"""

import torch
from torch import Tensor

from safs.inputs import InputSelection
from safs.pruning.masks import Masks, prunable_parameters
from safs.pruning.methods.composed import check_schedule, compose
from safs.pruning.methods.dynamic import check_axes
from safs.pruning.protocol import Pruned, PruningTask, Steps, Trainer
from safs.pruning.removal.choose_units import Removal, check_removal, choose_units
from safs.pruning.removal.compaction import shrink
from safs.pruning.removal.constants import norms_behind, shift
from safs.pruning.removal.coupling import find_groups
from safs.pruning.removal.input_units import NAME, find_inputs, mean_and_deviation
from safs.pruning.selection.choose_masks import Scores
from safs.pruning.selection.selector import check_score
from safs.spec.job import PruneSpec


def prune(trainer: Trainer, sparsity: float, spec: PruneSpec) -> Steps:
    """Removes filters, neurons and inputs together, to exactly ``sparsity`` of the dense network's weights.

    Perceptrons lose pixels, convolutional networks channels (none of grey images): a convolution's weights are shared
    by all pixels. How the authors select inputs of convolutional networks is not known to us.
    """
    return (yield from compose(trainer, sparsity, spec, _InputSelector(trainer, spec.distribution)))


def check(task: PruningTask) -> None:
    """Raises what ``prune`` would raise.

    Raises:
        SpecError: an option that does not fit, no epoch, or another granularity than ``filter``.
        CompactionError: the network cannot be made smaller.
        SparsityError: one unit in every layer has more weights than are asked for.
    """
    spec = task.spec
    check_axes(spec, granularity="filter")
    check_score(spec)
    check_schedule(spec)
    inputs = find_inputs(task.model, task.example)
    groups = (*((inputs.group,) if inputs else ()), *find_groups(task.model, task.example))
    shapes = {name: parameter.shape for name, parameter in prunable_parameters(task.model).items()}
    check_removal(groups, shapes, task.sparsity)


class _InputSelector:
    """Selects filters and neurons, and the inputs as if they were neurons of a layer before the first.

    What a first layer's weight is worth is multiplied with the standard deviation of its input over training images:
    the scale of an input is arbitrary, and one that never changes, such as a border of black pixels, tells nothing and
    goes first (ours; fasterai takes the weights as they are).
    """

    def __init__(self, trainer: Trainer, distribution: str) -> None:
        self._trainer, self._distribution = trainer, distribution
        self._inputs = find_inputs(trainer.model, trainer.example)
        self._groups = (*((self._inputs.group,) if self._inputs else ()), *find_groups(trainer.model, trainer.example))
        if self._inputs is not None:
            self._mean, self._deviation = mean_and_deviation(trainer, self._inputs.kind)
        self._removal: Removal | None = None

    def choose(self, scores: Scores, sparsity: float) -> Masks:
        scaled = dict(scores)
        for slot in self._inputs.group.consumers if self._inputs else ():
            scaled[slot.name] = scores[slot.name] * _along_inputs(self._deviation, scores[slot.name])
        self._removal = choose_units(self._groups, scaled, sparsity, self._distribution)
        return self._removal.masks

    def finish(self, masks: Masks, notes: tuple[str, ...] = ()) -> Pruned:
        assert self._removal is not None
        model, kept = self._trainer.model, self._kept()
        self._fold_means()
        form, left = shrink(model, self._groups, self._removal, self._trainer.example, kept)
        units = sum(group.units for group in self._groups if group.name != NAME)
        gone = sum(len(units) for name, units in self._removal.units.items() if name != NAME)
        notes += (f"{gone:,} of {units:,} filters and neurons are gone.", self._told(kept))
        return Pruned(model, left, form, notes)

    def _kept(self) -> InputSelection | None:
        gone = set(self._removal.units[NAME]) if self._removal and self._inputs else set()
        if self._inputs is None or not gone:
            return None
        return InputSelection(self._inputs.kind, tuple(sorted(set(range(self._inputs.group.units)) - gone)))

    @torch.no_grad()
    def _fold_means(self) -> None:
        """Moves what a removed pixel adds on average into the bias of its reader; constant pixels go without a trace.

        Channels are left out: a convolution's padding makes their mean no constant, and normalised it is nearly zero.
        """
        if self._inputs is None or self._inputs.kind == "channel" or self._removal is None:
            return
        gone = torch.tensor(self._removal.units[NAME], dtype=torch.int64, device=self._mean.device)
        norms = norms_behind(self._trainer.model)
        for slot in self._inputs.group.consumers:
            path = slot.name.rpartition(".")[0]
            layer = self._trainer.model.get_submodule(path)
            shift(layer, norms.get(path), layer.get_parameter("weight")[:, gone] @ self._mean[gone])

    def _told(self, kept: InputSelection | None) -> str:
        if self._inputs is None:
            return "The network reads its images whole: no input can be left out."
        count = self._inputs.group.units
        return f"{len(kept.kept) if kept else count:,} of {count:,} input {self._inputs.kind}s are read."


def _along_inputs(values: Tensor, weight: Tensor) -> Tensor:
    """``values``, [inputs], in a shape that multiplies the columns of ``weight``, [out, inputs, *kernel]."""
    return values.view(1, -1, *(1 for _ in weight.shape[2:]))
