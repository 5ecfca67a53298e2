"""A pruning followed by a training of the pruned network, as one piece of work: the trial of a pruned start."""

from dataclasses import dataclass, replace
from math import inf

from safs.execution.pruning import Pruning, PruningRun
from safs.execution.training import Training, TrainingRun
from safs.execution.work import Context, PrunedSnapshot, Run, Trained
from safs.networks import Network
from safs.training.snapshot import Snapshot
from safs.trials import EpochMetrics, Outcome


@dataclass(frozen=True, slots=True)
class PrunedTraining:
    """A pruning of the context's network, and the training that judges the result."""

    pruning: Pruning
    training: Training
    """Training from the pruned network. Its epochs are counted without those of the pruning."""


def after_pruning(dense: Context, pruned: Network) -> Context:
    """The context of trainings from ``pruned``, which reads the images of ``dense`` reduced to its inputs."""
    data = dense.data.select(pruned.blueprint.form.inputs)
    return Context(pruned.blueprint, data, start=pruned.state, masks=pruned.masks)


class PrunedTrainingRun(Run):
    """A pruning and training in progress. Epochs are numbered across both.

    Args:
        context: the dense network's.
        device: device to train on, e.g. ``cpu`` or ``cuda``.
        resume: snapshot of the same work with a smaller ``training.until``.
    """

    def __init__(
        self, context: Context, work: PrunedTraining, device: str, resume: PrunedSnapshot | None = None
    ) -> None:
        super().__init__()
        self._context, self._work, self._device = context, work, device
        self._network: Network | None = None
        self._training: TrainingRun | None = None
        self._pruning: PruningRun | None = None
        if resume is None:
            self._pruning = PruningRun(context, work.pruning, device)
        else:
            self._curve += resume.curve
            self._train(resume.network, resume.training)

    def outcome(self) -> Outcome:
        """The outcome of the training, with the curve of both parts; the error if either failed."""
        assert self.finished
        if self._error is not None or self._training is None:
            return Outcome(inf, {}, self._spent_s, tuple(self._curve), self._error)
        trained = self._training.outcome()
        metrics = trained.metrics | {"epoch": trained.metrics["epoch"] + self._pruning_epochs}
        return replace(trained, metrics=metrics, seconds=self._spent_s, curve=tuple(self._curve))

    def trained(self) -> Trained:
        """The outcome, and the network after the training, on the CPU."""
        network = None if self._error is not None or self._training is None else self._training.trained().network
        return Trained(self.outcome(), network)

    def snapshot(self) -> PrunedSnapshot | None:
        """The pruned network and the training's state; None if the training failed or trained its last epoch."""
        if self._error is not None or self._training is None or self._network is None:
            return None
        state = self._training.snapshot()
        pruning = tuple(self._curve[: self._pruning_epochs])
        return None if state is None else PrunedSnapshot(self._network, pruning, state)

    @property
    def _done(self) -> bool:
        return self._training is not None and self._training.finished

    @property
    def _pruning_epochs(self) -> int:
        return self._work.pruning.spec.epochs

    def _epoch(self) -> EpochMetrics | None:
        if self._training is not None:
            metrics = self._training._epoch()
            return replace(metrics, epoch=metrics.epoch + self._pruning_epochs)
        assert self._pruning is not None
        if not self._pruning.finished:
            return self._pruning._epoch()
        pruned = self._pruning.trained().network
        assert pruned is not None
        self._train(pruned, None)
        self._pruning = None
        return None

    def _train(self, network: Network, resume: Snapshot | None) -> None:
        context = after_pruning(self._context, network)
        self._network = network
        self._training = TrainingRun(context, self._work.training, self._device, resume)
        self._curve += [
            replace(metrics, epoch=metrics.epoch + self._pruning_epochs) for metrics in self._training.curve
        ]
