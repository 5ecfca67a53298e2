"""The final comparison: candidates trained to the end with one or more seeds, and the choice among them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from safs.errors import TrainingError
from safs.execution.executor import NamedWork
from safs.execution.training import Training
from safs.execution.work import Trained
from safs.networks import Network
from safs.spec.job import FinalCandidate
from safs.trials import Candidate


@dataclass(frozen=True, slots=True)
class Finalist:
    """One row of the comparison: the same training from several seeds."""

    name: FinalCandidate
    trainings: tuple[Training, ...]
    trained: tuple[Trained, ...]

    @property
    def broken(self) -> str | None:
        """Why this finalist cannot win: the reason of the first seed that broke down."""
        return next((trained.outcome.error for trained in self.trained if trained.outcome.error), None)

    @property
    def accuracy(self) -> float:
        """Mean validation accuracy over the seeds; 0 where one of them broke down."""
        return 0.0 if self.broken else fmean(trained.outcome.metrics["accuracy"] for trained in self.trained)

    @property
    def cross_entropy(self) -> float:
        """Mean validation cross-entropy over the seeds, in nats."""
        return fmean(trained.outcome.metrics.get("cross_entropy", float("inf")) for trained in self.trained)

    @property
    def training(self) -> Training:
        """The best seed's training."""
        return self.trainings[self._best]

    @property
    def network(self) -> Network:
        """The best seed's network."""
        network = self.trained[self._best].network
        assert network is not None
        return network

    @property
    def best_seed(self) -> int:
        return self.training.seed

    @property
    def _best(self) -> int:
        losses = [(t.outcome.loss, t.outcome.metrics.get("cross_entropy", float("inf"))) for t in self.trained]
        return losses.index(min(losses))


def named(trainings: Mapping[FinalCandidate, Sequence[Training]]) -> list[NamedWork]:
    """The trainings of all finalists, one after the other, under the numbers and names that events show."""
    flat = [(name, repeat, one) for name, group in trainings.items() for repeat, one in enumerate(group)]
    return [
        NamedWork(Candidate(number, {"candidate": name.value, "repeat": repeat}, one.epochs, one.seed), one)
        for number, (name, repeat, one) in enumerate(flat)
    ]


def gathered(trainings: Mapping[FinalCandidate, Sequence[Training]], trained: Sequence[Trained]) -> list[Finalist]:
    """The finalists, of what their trainings gave, in the order of ``named``."""
    results = iter(trained)
    return [Finalist(name, tuple(group), tuple(next(results) for _ in group)) for name, group in trainings.items()]


def choose(among: Sequence[Finalist]) -> Finalist:
    """The finalist with the best mean validation accuracy; ties go to the lower cross-entropy.

    Raises:
        TrainingError: every one of them broke down.
    """
    sound = [finalist for finalist in among if finalist.broken is None]
    if not sound:
        reasons = "; ".join(f"{finalist.name}: {finalist.broken}" for finalist in among)
        raise TrainingError(f"every final training broke down: {reasons}")
    return min(sound, key=lambda finalist: (-finalist.accuracy, finalist.cross_entropy))
