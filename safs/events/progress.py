"""Progress of a job and the time it has left, computed from its events.

``Tracker`` takes each event with its time and returns a ``Progress``: plain numbers for the job's row and for progress
bars. It reads no clock, so a replayed stream of events gives the same progress.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any, assert_never

from safs.events.kinds import (
    EpochDone,
    Event,
    Note,
    Pulse,
    Stage,
    StageDone,
    StageStarted,
    TrialDone,
    TrialStarted,
    WorkerLost,
)
from safs.events.plan import StagePlan
from safs.trials import Candidate, EpochMetrics


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a job at one moment."""

    stage: Stage
    stage_number: int
    """Position of the stage among the job's stages, from 1."""
    stages: int
    trials_done: int
    """Finished trials of the current stage."""
    trials: int
    """Expected trials of the current stage; 0 if it trains nothing."""
    best_accuracy: float | None
    """Best validation accuracy of any epoch of the current stage, in [0, 1]."""
    epochs_done: int
    """Trained epochs of the current stage, over all its trials."""
    epochs: int
    """Expected epochs of the current stage, over all its trials."""
    elapsed_s: float
    """Seconds since the job started."""
    remaining_s: float | None
    """Estimated seconds until the job ends; None until the first epoch has been timed."""
    fraction: float
    """Share of the job's epochs that are done, in [0, 1]; 1 only after the last stage."""

    def as_json(self) -> dict[str, Any]:
        """The progress as plain JSON, with seconds rounded to tenths."""
        values = asdict(self) | {"stage": self.stage.value, "elapsed_s": round(self.elapsed_s, 1)}
        if self.remaining_s is not None:
            values["remaining_s"] = round(self.remaining_s, 1)
        return values


class StageTracker:
    """Counts of one stage. Times are seconds of the caller's clock, as in ``Tracker``."""

    def __init__(self, plan: StagePlan, *, started_s: float | None = None) -> None:
        self.plan = self.planned = plan
        self.done = False
        self.trials_done = 0
        self.best_accuracy: float | None = None
        self.started = started_s is not None
        self._trains_since_s = self._measured_s = started_s or 0.0
        self._epochs: dict[int, int] = {}
        """Trial number -> epochs that the trial trained, without those of the trial that it continues."""
        self._before: dict[int, int] = {}
        """Trial number -> epochs of the trial that it continues."""
        self._ends: dict[int, int] = {}
        """Trial number -> last epoch of the trial."""
        self._recalled: set[int] = set()
        self._measured_epochs, self._measured_epochs_s = 0, 0.0
        self._running: set[int] = set()
        self._peak = 1

    def trial_started(self, candidate: Candidate) -> None:
        """Counts a running trial. A search may run more trials than it announced."""
        number = candidate.number
        self._running.add(number)
        self._before[number] = self._continued(candidate)
        self._peak = max(self._peak, len(self._running))
        self.plan = replace(self.plan, trials=max(self.plan.trials, number + 1))

    def epoch_done(self, number: int, metrics: EpochMetrics, now_s: float) -> None:
        """Counts an epoch and its duration."""
        if not self._measured_epochs:
            self._trains_since_s = max(self._trains_since_s, now_s - metrics.seconds)
        self._epochs[number] = max(self._epochs.get(number, 0), metrics.epoch - self._before.get(number, 0))
        self._measured_epochs += 1
        self._measured_epochs_s += metrics.seconds
        if self.plan.stage not in (Stage.PRUNE_SEARCH, Stage.PRUNE):  # Its epochs may precede the sparsity.
            self._see(metrics.validation_accuracy)
        self._measured_s = now_s

    def trial_done(self, done: TrialDone, now_s: float) -> None:
        """Counts all epochs of a trial, even if it broke down before its last one. A recalled trial took no time."""
        candidate, outcome = done.candidate, done.outcome
        self._running.discard(candidate.number)
        self._ends[candidate.number] = candidate.epochs
        self._epochs[candidate.number] = candidate.epochs - self._continued(candidate)
        self.trials_done += 1
        if done.recalled is not None:
            self._recalled.add(candidate.number)
        if outcome.error is None and "accuracy" in outcome.metrics:
            self._see(outcome.metrics["accuracy"])
        if done.recalled is None:
            self._measured_s = now_s

    def _continued(self, candidate: Candidate) -> int:
        """Epochs of the trial that the candidate continues; 0 if it continues none."""
        return 0 if candidate.continues is None else self._ends.get(candidate.continues, 0)

    def _see(self, accuracy: float) -> None:
        self.best_accuracy = accuracy if self.best_accuracy is None else max(self.best_accuracy, accuracy)

    @property
    def epochs_done(self) -> int:
        """Epochs that were trained, over all trials."""
        return sum(self._epochs.values())

    @property
    def epochs(self) -> int:
        """Expected epochs over all trials; the trained ones once the stage is done."""
        return self.epochs_done if self.done else max(self.plan.all_epochs, self.epochs_done)

    def parallel(self, slots: int) -> int:
        """Number of trials that run at once: the number of slots, or the highest number seen."""
        return max(1, min(self.plan.trials, max(slots, self._peak)))

    def slot_seconds_per_epoch(self, slots: int) -> float | None:
        """Slot-seconds that an epoch of this stage costs; None until an epoch has been timed.

        At first this is the mean duration of the epochs. Once as many trials are done as run at once, it is the wall
        time since the first trial began, which includes the time between trials (asking the strategy).
        """
        parallel = self.parallel(slots)
        trained = sum(epochs for number, epochs in self._epochs.items() if number not in self._recalled)
        if self.started and self.trials_done - len(self._recalled) >= parallel and trained:
            return max(0.0, self._measured_s - self._trains_since_s) * parallel / trained
        return self._measured_epochs_s / self._measured_epochs if self._measured_epochs else None


class Tracker:
    """Computes a job's progress from its events.

    Args:
        plan: the job's stages, from ``plan_stages``. Events override it.
        slots: number of trials that are known to run at once; raised if more are seen at once.
        started_s: time at which the job started, in seconds of the clock that ``update`` is called with (seconds since
            the epoch, or a monotonic clock).
    """

    def __init__(self, plan: tuple[StagePlan, ...], *, slots: int = 1, started_s: float = 0.0) -> None:
        self.stages = {stage.stage: StageTracker(stage) for stage in plan}
        self._slots = slots
        self._started_s = self._updated_s = started_s
        self._current = plan[0].stage

    def update(self, event: Event, now_s: float) -> Progress:
        """The progress after ``event``, which happened at ``now_s``."""
        self._updated_s = max(self._updated_s, now_s)
        match event:
            case StageStarted():
                self._enter(self._announced(event), now_s)
            case TrialStarted():
                self._stage(event.stage).trial_started(event.candidate)
            case EpochDone():
                self._stage(event.stage).epoch_done(event.trial, event.metrics, now_s)
            case TrialDone():
                self._stage(event.stage).trial_done(event, now_s)
            case StageDone():
                self._stage(event.stage).done = True
            case Note() | WorkerLost() | Pulse():
                pass
            case _:
                assert_never(event)
        return self.at(now_s)

    def at(self, now_s: float) -> Progress:
        """The progress at ``now_s`` if nothing has happened since the last event."""
        stage, order = self.stages[self._current], list(self.stages)
        return Progress(
            stage=self._current,
            stage_number=order.index(self._current) + 1,
            stages=len(order),
            trials_done=stage.trials_done,
            trials=stage.plan.trials,
            best_accuracy=stage.best_accuracy,
            epochs_done=stage.epochs_done,
            epochs=stage.epochs,
            elapsed_s=max(0.0, now_s - self._started_s),
            remaining_s=self._remaining_s(now_s),
            fraction=self._fraction(),
        )

    def _announced(self, event: StageStarted) -> StagePlan:
        """The plan that the event announces, with the planned total of epochs, which events do not state."""
        known = self.stages[event.stage].planned if event.stage in self.stages else None
        if known is None or known.epochs_in_total is None or known.epochs != event.epochs:
            return StagePlan(event.stage, event.trials, event.epochs)
        return replace(known, trials=max(known.trials, event.trials))

    def _enter(self, plan: StagePlan, now_s: float) -> None:
        """Begins a stage with empty counts: a runner that takes over a job starts its stage again."""
        self._current = plan.stage
        self.stages[plan.stage] = StageTracker(plan, started_s=now_s)
        self.stages = {stage: self.stages[stage] for stage in Stage if stage in self.stages}

    def _stage(self, stage: Stage) -> StageTracker:
        """The counts of the stage, which begins now if its start was not reported."""
        if stage not in self.stages:
            self._enter(StagePlan(stage, 0, 0), self._updated_s)
        return self.stages[stage]

    def _remaining_s(self, now_s: float) -> float | None:
        """Cost of the epochs that are left. A stage without a measured cost has that of the last stage before it."""
        cost: float | None = None
        remaining_s = 0.0
        for stage in self._counted():
            measured = stage.slot_seconds_per_epoch(self._slots)
            cost = cost if measured is None else measured
            left = stage.epochs - stage.epochs_done
            if left and cost is None:
                return None
            remaining_s += left * (cost or 0.0) / stage.parallel(self._slots)
        return None if cost is None else max(0.0, remaining_s - (now_s - self._updated_s))

    def _fraction(self) -> float:
        if self.stages[Stage.REPORT].done:
            return 1.0
        stages = self._counted()
        total = sum(stage.epochs for stage in stages)
        return min(0.99, sum(stage.epochs_done for stage in stages) / total) if total else 0.0

    def _counted(self) -> list[StageTracker]:
        """All stages except those that the job has skipped."""
        order = list(self.stages)
        passed = order[: order.index(self._current)]
        return [counts for stage, counts in self.stages.items() if counts.started or stage not in passed]
