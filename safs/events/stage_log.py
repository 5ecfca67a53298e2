"""A log of the events of each stage, from which the report is made."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from safs.events.faults import NONE, Faults
from safs.events.kinds import EpochDone, Event, Note, Report, Stage, StageDone, StageStarted, TrialDone, WorkerLost
from safs.trials import Trial, best_trial


@dataclass(slots=True)
class StageRecord:
    """Events of a stage that has begun. ``seconds`` is 0 until it ends."""

    stage: Stage
    seconds: float = 0.0
    trials: list[Trial] = field(default_factory=list)
    summary: str = ""
    """One sentence for people; the stage sets it before it ends."""
    recalled: set[str] = field(default_factory=set)
    """Sources of the outputs that were reused (see ``safs.reuse.cache.CachedOutput``)."""
    ran: int = 0
    """Number of trials that this attempt ran."""
    epochs: int = 0
    """Number of epochs that this attempt trained."""
    reused: bool = False
    """True if the outcome of some trial was reused."""

    @property
    def failed(self) -> int:
        """Number of trials that broke down."""
        return sum(trial.outcome.error is not None for trial in self.trials)

    @property
    def best_accuracy(self) -> float | None:
        """Best validation accuracy of any trial, in [0, 1]; None if all broke down."""
        best = best_trial(self.trials)
        return best.outcome.metrics["accuracy"] if best else None


class StageLog:
    """A ``report`` that records every event and passes it on.

    Args:
        faults: faults that earlier attempts at the job survived.
    """

    def __init__(self, report: Report, faults: Faults = NONE) -> None:
        self._report = report
        self.faults = faults
        self.stages: dict[Stage, StageRecord] = {}
        self.notes: list[str] = []

    def __call__(self, event: Event) -> None:
        match event:
            case EpochDone(stage, _, _):
                self.stages[stage].epochs += 1
            case TrialDone(stage, candidate, outcome, recalled):
                record = self.stages[stage]
                record.trials.append(Trial(candidate, outcome))
                record.ran += recalled is None
                record.reused |= recalled is not None
            case Note(message, _):
                self.notes.append(message)
            case WorkerLost(_, trial, seconds):
                self.faults = self.faults.with_lost_worker(0 if trial is None else 1, seconds)
            case _:
                pass
        self._report(event)

    @contextmanager
    def stage(self, stage: Stage, *, trials: int = 0, epochs: int = 0) -> Iterator[StageRecord]:
        """Reports the start and the end of a stage, and times it. A stage that raises has no end."""
        started = time.perf_counter()
        record = self.stages[stage] = StageRecord(stage)
        self(StageStarted(stage, trials, epochs))
        yield record
        record.trials.sort(key=lambda trial: trial.candidate.number)
        record.seconds = time.perf_counter() - started
        origins = ", ".join(sorted(record.recalled)) or None
        self(StageDone(stage, record.seconds, record.summary + (f"; taken from {origins}" if origins else ""), origins))
