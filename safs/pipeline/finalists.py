"""The final comparison: each candidate trained to the end from one or more seeds, and the choice of the best one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from statistics import fmean

from safs.errors import TrainingError
from safs.execution.executor import Task
from safs.execution.training import Training
from safs.execution.work import Trained
from safs.networks import Network
from safs.spec.final import FinalCandidate
from safs.trials import Candidate


@dataclass(frozen=True, slots=True)
class Finalist:
    """One row of the comparison: the same training, repeated with several seeds."""

    name: FinalCandidate
    trainings: tuple[Training, ...]
    trained: tuple[Trained, ...]
    """Results of ``trainings``, in the same order."""

    @property
    def error(self) -> str | None:
        """The error of the first seed that broke down, which excludes the finalist; None if all seeds ended well."""
        return next((trained.outcome.error for trained in self.trained if trained.outcome.error), None)

    @property
    def accuracy(self) -> float:
        """Mean validation accuracy over the seeds; 0 if one of them broke down."""
        return 0.0 if self.error else fmean(trained.outcome.metrics["accuracy"] for trained in self.trained)

    @property
    def cross_entropy(self) -> float:
        """Mean validation cross-entropy over the seeds, in nats."""
        return fmean(trained.outcome.metrics.get("cross_entropy", inf) for trained in self.trained)

    @property
    def training(self) -> Training:
        """The training of the best seed."""
        return self.trainings[self._best]

    @property
    def network(self) -> Network:
        """The network of the best seed."""
        network = self.trained[self._best].network
        assert network is not None
        return network

    @property
    def best_seed(self) -> int:
        return self.training.seed

    @property
    def _best(self) -> int:
        losses = [(t.outcome.loss, t.outcome.metrics.get("cross_entropy", inf)) for t in self.trained]
        return losses.index(min(losses))


def numbered_work(trainings: Mapping[FinalCandidate, Sequence[Training]]) -> list[Task]:
    """The trainings of all finalists in one list, with the numbers and configs that events show."""
    flat = [(name, repeat, training) for name, group in trainings.items() for repeat, training in enumerate(group)]
    return [
        Task(Candidate(number, {"candidate": name.value, "repeat": repeat}, training.epochs, training.seed), training)
        for number, (name, repeat, training) in enumerate(flat)
    ]


def finalists_from(
    trainings: Mapping[FinalCandidate, Sequence[Training]], trained: Sequence[Trained]
) -> list[Finalist]:
    """The finalists.

    Args:
        trained: results of ``numbered_work(trainings)``, in its order.
    """
    results = iter(trained)
    return [Finalist(name, tuple(group), tuple(next(results) for _ in group)) for name, group in trainings.items()]


def best_finalist(finalists: Sequence[Finalist]) -> Finalist:
    """The finalist with the best mean validation accuracy; the lower cross-entropy breaks ties.

    Raises:
        TrainingError: all of them broke down.
    """
    whole = [finalist for finalist in finalists if finalist.error is None]
    if not whole:
        reasons = "; ".join(f"{finalist.name}: {finalist.error}" for finalist in finalists)
        raise TrainingError(f"every final training broke down: {reasons}")
    return min(whole, key=lambda finalist: (-finalist.accuracy, finalist.cross_entropy))
