"""One training of the network under search, from a description that can be sent between processes.

Dense training, the trials of every search, the default protocol and the finalists differ in their settings alone:
build the network, load the initial weights, put operators at the sites, train under the masks.
"""

from dataclasses import dataclass
from math import inf

import torch

from safs.activations.surgery import RewiredModel, rewire
from safs.data import Split
from safs.data.features import select
from safs.execution.work import Context, Run, Trained
from safs.networks import Assignment, Network, Scalars, assemble
from safs.spec.searches import AconStart
from safs.spec.training import Recipe
from safs.training.evaluate import Evaluation, evaluate
from safs.training.layout import to_contiguous, to_fast_layout
from safs.training.session import TrainingSession
from safs.training.settings import TrainingSettings
from safs.training.snapshot import Snapshot
from safs.trials import EpochMetrics, Outcome

LEFT_AFTER, LEFT_AFTER_STEPS = 2, 100
"""Evaluations in a row that predict a single class, and optimizer steps, after which a trial is left early; see
decision 016."""


@dataclass(frozen=True, slots=True)
class Training:
    """Settings of one training, beside the context that it shares with others."""

    assignment: Assignment
    recipe: Recipe
    epochs: int
    """Number of epochs that the learning-rate schedule spans."""
    seed: int
    learnable: bool = False
    """True if alpha and beta of every site are trained, as in stage 2 and later."""
    until: int | None = None
    """Epoch after which the training stops; None trains all ``epochs``."""
    leaves: bool = False
    """True if the training may be left early for predicting a single class (see ``Outcome.left``). Trials may be,
    finalists may not."""
    acon_start: AconStart = "swish"
    """Function that the operator ``acon`` is before training; see ``ActivationsSpec``."""

    @property
    def scalars(self) -> Scalars:
        """Initial scalars that differ from the operators' own."""
        if self.acon_start == "swish":
            return {}
        return {site: {"p1": 1.0, "p2": 1.0} for site, operator in self.assignment.items() if operator == "acon"}


class TrainingRun(Run):
    """A training in progress.

    Args:
        device: device to train on, e.g. ``cpu`` or ``cuda``.
        resume: snapshot to continue from, of the same training with a smaller ``until``.
    """

    def __init__(self, context: Context, training: Training, device: str, resume: Snapshot | None = None) -> None:
        super().__init__()
        model = context.blueprint.build(training.seed, state=context.start)
        self._training, self._blueprint, self._masks = training, context.blueprint, context.masks
        self._model: RewiredModel = rewire(
            model, training.assignment, learnable=training.learnable, scalars=training.scalars
        ).to(device)
        self._session = TrainingSession(
            self._model,
            context.data.on(torch.device(device)),
            TrainingSettings(training.recipe, training.epochs, training.seed, training.until),
            masks=context.masks,
            exempt=self._model.activation_parameters(),
            resume=resume,
        )
        self._curve += self._session.curve

    @property
    def curve(self) -> tuple[EpochMetrics, ...]:
        """Metrics of all epochs so far, including those before the snapshot that the training resumed from."""
        return tuple(self._session.curve)

    def outcome(self) -> Outcome:
        """Loss and metrics of the best epoch, or the error of a failed training."""
        assert self.finished
        best = self._session.best
        if self._error is not None or best is None:
            return Outcome(inf, {}, self._spent_s, tuple(self._curve), self._error or "no epoch ended")
        return outcome_of(best.metrics, self._spent_s, tuple(self._curve), self._left)

    def trained(self) -> Trained:
        """The outcome and the best epoch's network, on the CPU."""
        outcome = self.outcome()
        if outcome.error is not None or self._session.best is None:
            return Trained(outcome, None)
        self._model.load_state_dict(self._session.best.state)
        self._model.cpu()
        to_contiguous(self._model)
        state = {name: tensor.detach().clone() for name, tensor in self._model.model_state().items()}
        network = Network(self._blueprint, state, self._masks, dict(self._training.assignment), self._model.scalars())
        return Trained(outcome, network)

    def snapshot(self) -> Snapshot | None:
        """The training's state; None if it failed, was left early, or trained the last epoch of its schedule."""
        assert self.finished
        ended = len(self._session.curve) == self._training.epochs
        return None if ended or self._error is not None or self._left is not None else self._session.snapshot()

    @property
    def _done(self) -> bool:
        return self._session.finished or self._left is not None

    @property
    def _left(self) -> str | None:
        """Reason to leave the training early, or None; also set at the last epoch before a possible continuation."""
        session = self._session
        return reason_to_leave(self._training, len(session.curve), session.one_class_epochs, session.steps_done)

    def _epoch(self) -> EpochMetrics:
        return self._session.step()


def outcome_of(best: EpochMetrics, seconds: float, curve: tuple[EpochMetrics, ...], left: str | None = None) -> Outcome:
    """The outcome of a training that did not break down, from the metrics of its best epoch."""
    metrics = {
        "accuracy": best.validation_accuracy,
        "cross_entropy": best.validation_loss,
        "epoch": float(best.epoch),
    }
    return Outcome(1.0 - best.validation_accuracy, metrics, seconds, curve, left=left)


def reason_to_leave(training: Training, epochs: int, one_class_epochs: int, steps: int) -> str | None:
    """Reason to leave a training early after ``epochs`` epochs and ``steps`` optimizer steps; None to go on.

    Args:
        one_class_epochs: number of latest evaluations in a row that predicted a single class.
    """
    if not training.leaves or epochs == training.epochs:
        return None
    if one_class_epochs < LEFT_AFTER or steps < LEFT_AFTER_STEPS:
        return None
    return f"predicts one class only after {epochs} epochs"


def score(network: Network, split: Split, batch_size: int, device: str) -> Evaluation:
    """Accuracy and cross-entropy of ``network`` on ``split``, which has whole images."""
    model, inputs = to_fast_layout(assemble(network), torch.device(device)), network.blueprint.form.inputs
    read = split if inputs is None else select(split, inputs)
    return evaluate(model, read, batch_size=batch_size, device=torch.device(device))
