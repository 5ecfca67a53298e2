"""Candidates that a search proposes, the outcomes of their trials, and the metrics of each epoch of a training."""

from dataclasses import dataclass, field
from math import inf, nan
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator

Config: TypeAlias = dict[str, str | int | float]
"""A point of a search space: site -> operator name, or hyperparameter -> value."""
OUT_OF_MEMORY = "out of memory"
"""Prefix of the error of a trial that exceeded the memory of its device."""
DIVERGED = "the training diverged"
"""Part of the error of a trial whose loss was not finite."""


def _inf_for_null(value: Any) -> Any:
    return inf if value is None else value


def _nan_for_null(value: Any) -> Any:
    return nan if value is None else value


def _without_nulls(values: Any) -> Any:
    return {name: value for name, value in values.items() if value is not None} if isinstance(values, dict) else values


Loss: TypeAlias = Annotated[float, BeforeValidator(_inf_for_null)]
"""A loss. JSON has no infinities, so null is read as infinity: the training diverged."""
Measurement: TypeAlias = Annotated[float, BeforeValidator(_nan_for_null)]
"""A number other than a loss; null is read as NaN."""


@dataclass(frozen=True, slots=True)
class EpochMetrics:
    """One epoch of a training; accuracies are fractions in [0, 1], losses mean cross-entropies in nats."""

    epoch: int
    """Number of the epoch, from 1."""
    train_loss: Loss
    validation_loss: Loss
    validation_accuracy: Measurement
    learning_rate: Measurement
    """Learning rate of the weights' parameter group after the last step of the epoch."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A strategy's proposal: what to try, for how long, from which seed."""

    number: int
    """Number of the candidate within its stage, from 0."""
    config: Config
    epochs: int
    """Last epoch of the trial's training, counted from 1."""
    seed: int
    horizon: int | None = None
    """Epochs that the learning-rate schedule spans, if more than ``epochs``. A trial that may be promoted later trains
    with the schedule of the longest one."""
    continues: int | None = None
    """Number of the trial that this one continues: same config, seed and horizon, fewer epochs. None for a new one."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a trial. A trial that broke down has an infinite loss and says why in ``error``."""

    loss: Loss
    """1 - the best validation accuracy of any epoch; minimised."""
    metrics: Annotated[dict[str, float], BeforeValidator(_without_nulls)] = field(default_factory=dict)
    """Metrics at the best epoch: ``accuracy``, ``cross_entropy`` (both on the validation split), ``epoch``."""
    seconds: float = 0.0
    """Seconds that this trial spent in training and evaluation, without the trial that it continues."""
    curve: tuple[EpochMetrics, ...] = ()
    """Metrics of all epochs from 1, also for a trial that continues another."""
    error: str | None = None
    """Why the trial broke down; None if it did not."""
    left: str | None = None
    """Why the trial was stopped early without breaking down; its loss is the best that it had reached."""

    @property
    def out_of_memory(self) -> bool:
        """True if the device ran out of memory. The trial may succeed beside fewer others."""
        return self.error is not None and self.error.startswith(OUT_OF_MEMORY)

    @property
    def diverged(self) -> bool:
        """True if the loss was not finite. A lower learning rate may succeed."""
        return self.error is not None and DIVERGED in self.error


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate with its outcome."""

    candidate: Candidate
    outcome: Outcome

    @property
    def rank(self) -> tuple[float, float, int]:
        """Sort key, best first: loss, then cross-entropy (accuracy ties on small splits), then number."""
        return self.outcome.loss, self.outcome.metrics.get("cross_entropy", inf), self.candidate.number


def best_trial(trials: list[Trial]) -> Trial | None:
    """The best trial that did not break down, or None if all did."""
    return min((trial for trial in trials if trial.outcome.error is None), key=lambda trial: trial.rank, default=None)
