"""What a search proposes, what a trial answers, and what one epoch of a training measured."""

from dataclasses import dataclass, field
from typing import TypeAlias

Config: TypeAlias = dict[str, str | int | float]
"""A point of a search space: site -> operator name, or hyperparameter -> value."""
OUT_OF_MEMORY = "out of memory"
"""With this begins the error of a trial that its device's memory did not suffice for."""


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
    """The trial's training ends with this epoch."""
    seed: int
    horizon: int | None = None
    """Epochs that the training's learning-rate schedule spans, where that is more than ``epochs``: a trial that may be
    promoted later trains as the longest one would."""
    continues: int | None = None
    """Number of the trial that this one goes on with: same config, seed and horizon, fewer epochs."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a trial found. A trial that broke down has an infinite loss and says why in ``error``."""

    loss: float
    """Minimised: 1 - the best validation accuracy of any epoch."""
    metrics: dict[str, float] = field(default_factory=dict)
    """At the best epoch: ``accuracy``, ``cross_entropy`` (both on the validation split), ``epoch``."""
    seconds: float = 0.0
    """Spent inside training and its evaluations; by this trial alone, without the one that it continues."""
    curve: tuple[EpochMetrics, ...] = ()
    """From epoch 1, also where the trial continues another."""
    error: str | None = None
    left: str | None = None
    """Why the trial was left before its last epoch though it did not break down; its loss is what it had reached."""

    @property
    def out_of_memory(self) -> bool:
        """Whether the device's memory did not suffice: beside fewer others it may."""
        return self.error is not None and self.error.startswith(OUT_OF_MEMORY)


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
