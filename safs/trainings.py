"""One training of the network under search, from a description that travels between processes.

Dense training, every trial of both stages, the default protocol and the final candidates are the same thing with
other settings: build the network, load the weights to start from, put operators at the sites, train under the masks.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

import torch
from torch import Tensor

from safs import models
from safs.activations.surgery import RewiredModel, rewire
from safs.data import Split
from safs.errors import SafsError
from safs.models.weights import copy_state
from safs.pruning.masks import Masks
from safs.spec import Recipe
from safs.training.evaluate import Evaluation, evaluate
from safs.training.session import TrainingSession
from safs.trials import EpochMetrics, Outcome

Assignment = dict[str, str]
"""Site path -> operator name; a site that is not there keeps its own activation."""
Scalars = dict[str, dict[str, float]]
"""Site path -> scalar name (alpha, beta, ...) -> value."""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What it takes to build the network, without its weights."""

    architecture: str
    channels: int
    image_size: int
    classes: int

    def build(self, seed: int | None = None, *, state: Mapping[str, Tensor] | None = None) -> torch.nn.Module:
        """The dense network: with ``state`` under its own names, else with fresh weights, drawn from ``seed``.

        Raises:
            WeightsError: ``state`` has other names or shapes than this network.
        """
        model = models.build(
            self.architecture, channels=self.channels, classes=self.classes, image_size=self.image_size, seed=seed
        )
        if state is not None:
            copy_state(state, model)
        return model


@dataclass(frozen=True, slots=True)
class Network:
    """The network in one state: weights under the model's own names, operators, and their scalars."""

    state: Mapping[str, Tensor]
    assignment: Assignment = field(default_factory=dict)
    scalars: Scalars = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Context:
    """What the trainings of a stage share; sent to each node once."""

    blueprint: Blueprint
    train: Split
    validation: Split
    batch_size: int
    augment: bool
    start: Mapping[str, Tensor] | None = None
    """Weights to start from; None draws fresh ones from the training's seed."""
    masks: Masks | None = None


@dataclass(frozen=True, slots=True)
class Training:
    """What one training does differently from its neighbours."""

    assignment: Assignment
    recipe: Recipe
    epochs: int
    seed: int
    learnable: bool = False
    """Whether alpha and beta of every site are trained (stage 2 and what follows it)."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A training that ended: how well, and the network of its best epoch (None if it broke down)."""

    outcome: Outcome
    network: Network | None


class TrainingRun:
    """A training in progress. It never raises for what the training itself did wrong: that is an outcome.

    Args:
        device: where to train, e.g. ``cpu`` or ``cuda``.
    """

    def __init__(self, context: Context, training: Training, device: str) -> None:
        self._spent_s = 0.0
        self._curve: list[EpochMetrics] = []
        self._error: str | None = None
        model = context.blueprint.build(training.seed, state=context.start)
        self._training = training
        self._model: RewiredModel = rewire(model, training.assignment, learnable=training.learnable).to(device)
        self._session = TrainingSession(
            self._model,
            context.train,
            context.validation,
            recipe=training.recipe,
            epochs=training.epochs,
            batch_size=context.batch_size,
            seed=training.seed,
            device=torch.device(device),
            masks=context.masks,
            exempt=self._model.activation_parameters(),
            augment=context.augment,
        )

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or the training broke down."""
        return self._error is not None or self._session.finished

    def advance(self, at_least_s: float) -> tuple[EpochMetrics, ...]:
        """Trains whole epochs until ``at_least_s`` seconds have passed or the training is finished; returns them."""
        started = time.perf_counter()
        done: list[EpochMetrics] = []
        try:
            while not self.finished:
                done.append(self._session.step())
                if time.perf_counter() - started >= at_least_s:
                    break
        except SafsError as error:
            self._error = error.message
        except torch.OutOfMemoryError as error:
            self._error = f"out of memory: {str(error).splitlines()[0]}"
        self._spent_s += time.perf_counter() - started
        self._curve += done
        return tuple(done)

    def outcome(self) -> Outcome:
        """How well it went: the best epoch, or why there is none."""
        assert self.finished
        best = self._session.best
        if self._error is not None or best is None:
            return Outcome(inf, {}, self._spent_s, tuple(self._curve), self._error or "no epoch ended")
        metrics = {
            "accuracy": best.metrics.validation_accuracy,
            "cross_entropy": best.metrics.validation_loss,
            "epoch": float(best.metrics.epoch),
        }
        return Outcome(1.0 - best.metrics.validation_accuracy, metrics, self._spent_s, tuple(self._curve))

    def trained(self) -> Trained:
        """The outcome with the best epoch's network, on the CPU."""
        outcome = self.outcome()
        if outcome.error is not None or self._session.best is None:
            return Trained(outcome, None)
        self._model.load_state_dict(self._session.best.state)
        self._model.cpu()
        state = {name: tensor.detach().clone() for name, tensor in self._model.model_state().items()}
        return Trained(outcome, Network(state, dict(self._training.assignment), self._model.scalars()))


def score(blueprint: Blueprint, network: Network, split: Split, batch_size: int, device: str) -> Evaluation:
    """Accuracy and cross-entropy of ``network`` on ``split``."""
    return evaluate(assemble(blueprint, network).to(device), split, batch_size=batch_size, device=torch.device(device))


def assemble(blueprint: Blueprint, network: Network) -> RewiredModel:
    """The network as a module: weights loaded, operators in place, in eval mode.

    Raises:
        UnknownNameError: the assignment names a site or an operator that this architecture does not have.
        WeightsError: the state does not fit the architecture.
    """
    return rewire(blueprint.build(state=network.state), network.assignment, scalars=network.scalars).eval()
