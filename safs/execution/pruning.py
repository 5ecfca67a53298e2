"""One pruning of the network, from a description that can be sent between processes."""

from collections.abc import Generator
from dataclasses import dataclass, replace
from math import inf

import torch

from safs.execution.training import score
from safs.execution.work import Context, Run, Trained
from safs.networks import Network
from safs.pruning.protocol import Pruned
from safs.pruning.pruners import PRUNERS
from safs.spec.pruning import PruneSpec
from safs.spec.training import Recipe
from safs.training.batch_norm import reestimate_statistics
from safs.training.pruning_trainer import PruningTrainer, few_batches
from safs.training.settings import TrainingSettings
from safs.trials import EpochMetrics, Outcome


@dataclass(frozen=True, slots=True)
class Pruning:
    """Method, sparsity, recipe and seed of a pruning."""

    spec: PruneSpec
    sparsity: float
    recipe: Recipe
    seed: int


class PruningRun(Run):
    """A pruning in progress.

    Args:
        context: the dense network's, or that of a network that is pruned already, if the pruning can go on from it
            (``safs.spec.front.passes_sparsities``).
        device: device to train on, e.g. ``cpu`` or ``cuda``.
    """

    def __init__(self, context: Context, pruning: Pruning, device: str) -> None:
        super().__init__()
        self._context, self._device, self._seed = context, device, pruning.seed
        self._network: Network | None = None
        self._notes: tuple[str, ...] = ()
        self._steps = self._start(context, pruning, device)

    def outcome(self) -> Outcome:
        """Scores of the pruned network before any fine-tuning, or the error of a failed pruning."""
        assert self.finished
        if self._network is None:
            return Outcome(inf, {}, self._spent_s, tuple(self._curve), self._error)
        data = self._context.data
        scored = score(self._network, data.validation, data.batch_size, self._device)
        metrics = {"accuracy": scored.accuracy, "cross_entropy": scored.cross_entropy, "epoch": float(len(self._curve))}
        return Outcome(1.0 - scored.accuracy, metrics, self._spent_s, tuple(self._curve))

    def trained(self) -> Trained:
        """The outcome and the pruned network, on the CPU."""
        return Trained(self.outcome(), self._network, self._notes)

    @property
    def _done(self) -> bool:
        return self._network is not None

    def _epoch(self) -> EpochMetrics | None:
        try:
            return next(self._steps)
        except StopIteration as stop:
            self._keep(stop.value)
            return None

    def _start(self, context: Context, pruning: Pruning, device: str) -> Generator[EpochMetrics, None, Pruned]:
        pruner = PRUNERS[pruning.spec.method]
        model = context.blueprint.build(pruning.seed, state=None if pruner.from_scratch else context.start)
        masks = None if context.masks is None else {name: mask.to(device) for name, mask in context.masks.items()}
        trainer = PruningTrainer(
            model.to(device),
            context.data.on(torch.device(device)),
            TrainingSettings(pruning.recipe, pruning.spec.epochs, pruning.seed),
            masks,
        )
        return pruner.prune(trainer, pruning.sparsity, pruning.spec)

    def _keep(self, pruned: Pruned) -> None:
        blueprint = replace(self._context.blueprint, form=pruned.form)
        data = self._context.data.select(pruned.form.inputs).on(torch.device(self._device))
        reestimate_statistics(pruned.model, few_batches(data, self._seed))
        state = {name: tensor.detach().cpu().clone() for name, tensor in pruned.model.state_dict().items()}
        masks = {name: mask.cpu() for name, mask in pruned.masks.items()}
        self._network, self._notes = Network(blueprint, state, masks), pruned.notes
