"""Events of the REST API as the events that the running job reported."""

from collections.abc import Mapping
from datetime import datetime
from math import inf, nan
from typing import Any

from safs.events.kinds import (
    EpochDone,
    Event,
    Note,
    Stage,
    StageDone,
    StageStarted,
    TrialDone,
    TrialStarted,
    WorkerLost,
)
from safs.trials import Candidate, EpochMetrics, Outcome


def read_event(kind: str, data: Mapping[str, Any]) -> Event | None:
    """The event; None for a kind that a newer service may have."""
    match kind:
        case "stage_started":
            return StageStarted(Stage(data["stage"]), data["trials"], data["epochs"])
        case "trial_started":
            return TrialStarted(Stage(data["stage"]), Candidate(**data["candidate"]))
        case "epoch_done":
            return EpochDone(Stage(data["stage"]), data["trial"], _metrics(data["metrics"]))
        case "trial_done":
            return TrialDone(Stage(data["stage"]), Candidate(**data["candidate"]), _outcome(data["outcome"]))
        case "stage_done":
            return StageDone(Stage(data["stage"]), data["seconds"], data["summary"])
        case "note":
            return Note(data["message"], data["level"])
        case "worker_lost":
            stage = data["stage"]
            return WorkerLost(None if stage is None else Stage(stage), data["trial"], data["seconds"])
        case _:
            return None


def seconds_of(event: Mapping[str, Any]) -> float:
    """When the event happened, in seconds since the epoch."""
    return datetime.fromisoformat(event["at"]).timestamp()


def _metrics(data: Mapping[str, Any]) -> EpochMetrics:
    # JSON has no infinities: a number that was none arrives as null.
    finite: dict[str, Any] = {name: nan if value is None else value for name, value in data.items()}
    return EpochMetrics(**finite)


def _outcome(data: Mapping[str, Any]) -> Outcome:
    return Outcome(
        loss=inf if data["loss"] is None else data["loss"],
        metrics={name: value for name, value in data["metrics"].items() if value is not None},
        seconds=data["seconds"],
        error=data["error"],
    )
