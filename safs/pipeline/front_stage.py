"""The points of a front: final trainings at the other sparsities, with what the search found, and bisection."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt

from safs.errors import TrainingError
from safs.events.kinds import Note, Stage
from safs.events.stage_log import StageRecord
from safs.execution.executor import Task
from safs.execution.training import Training
from safs.pipeline.final_stage import train_from, warn_of_failures, with_seeds
from safs.pipeline.finalists import Finalist, best_finalist, finalists_from, numbered_work
from safs.pipeline.pruning_stages import PrunedNetwork, PruningStep, Starts, prune
from safs.pipeline.state import JobContext
from safs.pruning.axes.distributions import live_total
from safs.spec.final import FinalCandidate
from safs.spec.front import BISECTIONS, passes_sparsities, pruning_epochs


@dataclass(frozen=True, slots=True)
class Point:
    """The results at one sparsity. A job without a front has one point."""

    pruned: PrunedNetwork
    finalists: Sequence[Finalist]
    winner: Finalist
    one_shot: PrunedNetwork | None = None
    """The network that the candidate ``one_shot`` started from; None if it did not compete."""

    @property
    def start(self) -> PrunedNetwork:
        """The network that the winner started from. With a target, each pruning has a sparsity of its own."""
        is_one_shot = self.winner.name == FinalCandidate.ONE_SHOT
        return self.one_shot if is_one_shot and self.one_shot is not None else self.pruned

    @property
    def sparsity(self) -> float:
        return self.start.sparsity


def points_of(
    job: JobContext, trainings: Mapping[FinalCandidate, Training], starts: Starts, finalists: Sequence[Finalist]
) -> list[Point]:
    """The points of the job in ascending order of sparsity; one point if it has no front.

    Args:
        trainings: final trainings at the sparsity of the search.
        finalists: their results.
    """
    searched = Point(starts.chosen, finalists, best_finalist(finalists), starts.one_shot)
    if job.spec.front is None:
        return [searched]
    stage = _FrontStage(job, {name: one for name, one in trainings.items() if name != FinalCandidate.ONE_SHOT})
    others = [pruned for pruned in starts.front.values() if pruned is not starts.chosen]
    trials = len(others) * len(stage.trainings) * job.spec.final.repeats
    with job.stage_log.stage(Stage.FRONT, trials=trials, epochs=job.spec.final.epochs) as record:
        points = [searched, *(point for pruned in others if (point := stage.point(record, pruned)) is not None)]
        if job.spec.accuracy_floor is not None:
            points += stage.bisect(record, points, job.spec.accuracy_floor, starts)
        points.sort(key=lambda point: point.sparsity)
        record.summary = ", ".join(f"{point.winner.accuracy:.1%} at {point.sparsity:.4g}" for point in points)
    return points


def recommended(points: Sequence[Point], *, lowest_accuracy: float) -> Point:
    """The sparsest point with at least this validation accuracy, or the most accurate one if none has it."""
    holding = [point for point in points if point.winner.accuracy >= lowest_accuracy]
    if holding:
        return max(holding, key=lambda point: point.sparsity)
    return max(points, key=lambda point: point.winner.accuracy)


class _FrontStage:
    """Trains points, and numbers its trials across all of them."""

    def __init__(self, job: JobContext, trainings: Mapping[FinalCandidate, Training]) -> None:
        self.trainings = with_seeds(job, trainings)
        self._job, self._trials = job, 0

    def point(self, record: StageRecord, pruned: PrunedNetwork) -> Point | None:
        """The final trainings from ``pruned``; None if all of them broke down."""
        tasks = [self._numbered(task, pruned.sparsity) for task in numbered_work(self.trainings)]
        finalists = finalists_from(self.trainings, train_from(self._job, record, pruned, tasks))
        warn_of_failures(self._job, finalists, f" at {pruned.sparsity:g}")
        try:
            return Point(pruned, finalists, best_finalist(finalists))
        except TrainingError:
            self._job.stage_log(Note(f"The front has no point at {pruned.sparsity:g}.", "warning"))
            return None

    def bisect(
        self, record: StageRecord, known: Sequence[Point], lowest_accuracy: float, starts: Starts
    ) -> list[Point]:
        """New points between the sparsest one with the accuracy and the next one, each halving the live weights left.

        The point in the middle of a and b has the sparsity 1 - sqrt((1 - a) (1 - b)).
        """
        points, new = sorted(known, key=lambda point: point.sparsity), list[Point]()
        for _ in range(BISECTIONS):
            holding = [place for place, point in enumerate(points) if point.winner.accuracy >= lowest_accuracy]
            if not holding:
                self._warn(f"No point has a validation accuracy of {lowest_accuracy:g}; add lower sparsities.")
                break
            if holding[-1] == len(points) - 1:
                self._warn(f"The highest sparsity has a validation accuracy of {lowest_accuracy:g}; add higher ones.")
                break
            low, high = points[holding[-1]], points[holding[-1] + 1]
            middle = _middle(low.sparsity, high.sparsity)
            if not self._is_between(middle, low, high):
                break
            point = self.point(record, self._pruned(record, middle, low.pruned, starts))
            if point is None:
                break
            points.insert(holding[-1] + 1, point)
            new.append(point)
        return new

    def _pruned(self, record: StageRecord, sparsity: float, low: PrunedNetwork, starts: Starts) -> PrunedNetwork:
        """The network pruned to ``sparsity``, from ``low`` if its pruning can go on, else from the dense network."""
        spec = next(iter(starts.front.values())).spec
        _, more = pruning_epochs(spec, [low.sparsity, sparsity])
        goes_on = passes_sparsities(spec)
        before = low.spec.epochs if goes_on else 0
        step = PruningStep(self._trials, sparsity, spec.model_copy(update={"epochs": more}), before)
        self._trials += 1
        (pruned,) = prune(self._job, record, [step], low.start if goes_on else starts.dense)
        return pruned

    def _is_between(self, middle: float, low: Point, high: Point) -> bool:
        live = [live_total(self._job.preflight.weights, one) for one in (low.sparsity, middle, high.sparsity)]
        return live[0] > live[1] > live[2]

    def _numbered(self, task: Task, sparsity: float) -> Task:
        candidate = task.candidate
        config = candidate.config | {"sparsity": sparsity}
        self._trials += 1
        return replace(task, candidate=replace(candidate, number=self._trials - 1, config=config))

    def _warn(self, message: str) -> None:
        self._job.stage_log(Note(message, "warning"))


def _middle(low: float, high: float) -> float:
    """The sparsity between two others on a logarithmic scale of what is left, with three digits of what is left.

    >>> _middle(0.9, 0.999)
    0.99
    """
    return round(1 - float(f"{sqrt((1 - low) * (1 - high)):.3g}"), 12)
