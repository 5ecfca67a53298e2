"""Events of a job's orders, from the messages of the pool that runs them."""

from collections.abc import Callable, Sequence
from math import inf
from typing import Any, assert_never

from safs.events.kinds import EpochDone, Note, Report, Stage, TrialStarted, WorkerLost
from safs.execution.executor import failed_outcome, retry_note
from safs.trials import OUT_OF_MEMORY, Candidate, Outcome
from workers.on_ray.messages import Advanced, Answered, Failed, Started
from workers.on_ray.retrying import PoolMessage, Repeated


def handle(
    stage: Stage, candidates: Sequence[Candidate], message: PoolMessage, report: Report, failed: Callable[[str], Any]
) -> Any:
    """Report the progress in ``message``; return the answer of an order that ended, else None.

    Args:
        candidates: those of the order, several if it is a stack.
        failed: makes the answer of an order that failed, from the reason.
    """
    match message:
        case Started():
            for candidate in candidates:
                report(TrialStarted(stage, candidate))
        case Advanced(_, epochs, places):
            for metrics, place in zip(epochs, places or [0] * len(epochs), strict=True):
                report(EpochDone(stage, candidates[place].number, metrics))
        case Repeated():
            report_repetition(stage, candidates[0].number, message, report)
        case Answered(_, answer):
            return answer
        case Failed(_, reason, _, _):
            return failed(reason)
        case _:
            assert_never(message)
    return None


def report_repetition(stage: Stage | None, trial: int | None, message: Repeated, report: Report) -> None:
    """Report that an order runs again; None for an evaluation."""
    what = "an evaluation" if stage is None else f"trial {trial} of the stage {stage}"
    if message.lost:
        report(WorkerLost(stage, trial, message.seconds))
        report(Note(f"The worker of {what} was lost, so it is run again: {message.reason}", "warning"))
    else:
        report(retry_note(what, message.reason))


def outcome_of(reason: str) -> Outcome:
    """Return the outcome of a training that failed for good."""
    return Outcome(inf, error=reason) if reason.startswith(OUT_OF_MEMORY) else failed_outcome(reason)
