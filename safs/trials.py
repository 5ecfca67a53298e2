"""What a search proposes, what a trial answers, and what one epoch of a training measured."""

from dataclasses import dataclass, field
from typing import TypeAlias

Config: TypeAlias = dict[str, str | int | float]
"""A point of a search space: site -> operator name, or hyperparameter -> value."""


@dataclass(frozen=True, slots=True)
class EpochMetrics:
    """One epoch of a training; accuracies are fractions in [0, 1], losses mean cross-entropies in nats."""

    epoch: int
    """1 for the first."""
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    learning_rate: float
    """After the epoch's last step, of the weights' parameter group."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A strategy's proposal: what to try, for how long, from which seed."""

    number: int
    """0 for the first of its stage."""
    config: Config
    epochs: int
    seed: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a trial found. A trial that broke down has an infinite loss and says why in ``error``."""

    loss: float
    """Minimised: 1 - the best validation accuracy of any epoch."""
    metrics: dict[str, float] = field(default_factory=dict)
    """At the best epoch: ``accuracy``, ``cross_entropy`` (both on the validation split), ``epoch``."""
    seconds: float = 0.0
    """Spent inside training and its evaluations."""
    curve: tuple[EpochMetrics, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate with its outcome."""

    candidate: Candidate
    outcome: Outcome

    @property
    def rank(self) -> tuple[float, float, int]:
        """Sorts trials from the best: loss, then cross-entropy (accuracy ties on small splits), then age."""
        return self.outcome.loss, self.outcome.metrics.get("cross_entropy", float("inf")), self.candidate.number


def best_trial(trials: list[Trial]) -> Trial | None:
    """The best trial that did not break down, or None if all did."""
    return min((trial for trial in trials if trial.outcome.error is None), key=lambda trial: trial.rank, default=None)
