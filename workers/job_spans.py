"""A job's trace: one span for the attempt, one for each of its stages, and one for each trial on any worker."""

from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

from safs.events.kinds import Event, Report, Stage, StageDone, StageStarted
from safs.trials import Candidate
from telemetry import tracing


@dataclass(frozen=True, slots=True)
class Origin:
    """The stage and number of a trial with its trace context; sent to the worker with the trial's order."""

    stage: Stage
    number: int
    parent: str | None
    """Trace context of the stage; None if nothing is traced."""


def origin(stage: Stage, candidate: Candidate) -> Origin:
    """Return the origin of a trial that is ordered now, under the current span."""
    return Origin(stage, candidate.number, tracing.traceparent())


class StageSpans:
    """A ``report`` callback that opens a span for each stage and forwards every event.

    Use it as a context manager: the span of an interrupted stage ends with the block.
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


def record_trial_span(origin: Origin, began_ns: int, error: str | None) -> None:
    """Record the span of a trial that ends now.

    Args:
        began_ns: nanoseconds since 1970 at which the trial began.
        error: the reason of a failed trial; None if it succeeded.
    """
    tracing.record_span(
        "trial", parent=origin.parent, began_ns=began_ns, error=error, stage=origin.stage, trial=origin.number
    )
