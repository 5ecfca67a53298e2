"""A job's trace: a span for the attempt, one for each of its stages, one for each trial, wherever that runs."""

from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

from safs.events.kinds import Event, Report, Stage, StageDone, StageStarted
from safs.trials import Candidate
from telemetry import tracing


@dataclass(frozen=True, slots=True)
class Origin:
    """What a trial belongs to; it travels with the trial's order."""

    stage: Stage
    number: int
    parent: str | None
    """Trace context of the stage; None if there is no trace."""


def origin(stage: Stage, candidate: Candidate) -> Origin:
    """Where a trial comes from that is ordered now."""
    return Origin(stage, candidate.number, tracing.traceparent())


class StageSpans:
    """A ``report`` that has each stage be a span of the thread that reports, and passes everything on.

    Use it as a context manager: a stage that breaks off ends with the block.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._stage = ExitStack()

    def __enter__(self) -> "StageSpans":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stage.__exit__(kind, error, tb)

    def __call__(self, event: Event) -> None:
        if isinstance(event, StageStarted):
            self._stage.close()
            self._stage.enter_context(tracing.span(f"stage {event.stage}", stage=event.stage))
        self._report(event)
        if isinstance(event, StageDone):
            self._stage.close()


def tell_trial(origin: Origin, began_ns: int, error: str | None) -> None:
    """The span of a trial that ends now.

    Args:
        began_ns: when, since 1970.
        error: why it broke down, if it did.
    """
    tracing.tell("trial", parent=origin.parent, began_ns=began_ns, error=error, stage=origin.stage, trial=origin.number)
