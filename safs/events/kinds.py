"""What a running job tells the outside, in order: store, event stream and progress bars all read these."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from math import isfinite
from typing import Any, TypeAlias, cast

from safs.trials import Candidate, EpochMetrics, Outcome


class Stage(StrEnum):
    """The stages of a job in the order in which they run."""

    DENSE = "dense"
    PRUNE = "prune"
    ACTIVATIONS = "activations"
    """SAFS stage 1: which operator at which site."""
    TUNE = "tune"
    """SAFS stage 2: hyperparameters of fine-tuning, with stage 1's operators."""
    TUNE_ALONE = "tune_alone"
    """Stage 2 with the network's own activations, for comparison."""
    JOINT = "joint"
    """Operators and hyperparameters searched together, in one space."""
    FINAL = "final"
    """The candidates trained to the end; the best on validation is the result."""
    REPORT = "report"
    """The test split is read, once; checkpoint, config and report are written."""

    @property
    def section(self) -> str:
        """The part of a job spec that says how the stage is run."""
        return "tune" if self is Stage.TUNE_ALONE else "train" if self is Stage.DENSE else self.value


@dataclass(frozen=True, slots=True)
class StageStarted:
    stage: Stage
    trials: int
    """Trials (or trainings) expected; LAHC may add some while it improves. 0 where the stage trains nothing."""
    epochs: int
    """Epochs of each of them."""


@dataclass(frozen=True, slots=True)
class TrialStarted:
    stage: Stage
    candidate: Candidate


@dataclass(frozen=True, slots=True)
class EpochDone:
    stage: Stage
    trial: int
    """The candidate's number within its stage."""
    metrics: EpochMetrics


@dataclass(frozen=True, slots=True)
class TrialDone:
    stage: Stage
    candidate: Candidate
    outcome: Outcome
    recalled: str | None = None
    """Where the outcome was found, if it was not run now: ``an earlier attempt``, or the id of another job."""


@dataclass(frozen=True, slots=True)
class StageDone:
    stage: Stage
    seconds: float
    summary: str
    """One sentence for people."""
    recalled: str | None = None
    """Where the stage's output was found, if it was not made now: as in ``TrialDone``."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something a person should know: a warning, a fallback, a surprise."""

    message: str
    level: str = "info"
    """``info`` or ``warning``."""


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """The process of a training died, or its node did; what it was at is run again."""

    stage: Stage | None
    trial: int | None
    """The candidate's number within its stage; both are None for an evaluation, which belongs to no trial."""
    seconds: float
    """Wall time that its work had taken, which is lost."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """Nothing happened: sent several times a second while trials run, so that ``report`` can end it. Not stored."""


Event: TypeAlias = StageStarted | TrialStarted | EpochDone | TrialDone | StageDone | Note | WorkerLost | Pulse
Report: TypeAlias = Callable[[Event], None]
"""The only way out of a running job; raises ``Interrupted`` (or the store's ``LeaseLost``) when it must end."""

EVENT_KINDS: dict[str, type[Event]] = {
    "stage_started": StageStarted,
    "trial_started": TrialStarted,
    "epoch_done": EpochDone,
    "trial_done": TrialDone,
    "stage_done": StageDone,
    "note": Note,
    "worker_lost": WorkerLost,
}
_KINDS = {kind: name for name, kind in EVENT_KINDS.items()}


def event_kind(event: Event) -> str:
    """The event's name in the REST API, one of ``EVENT_KINDS``."""
    return _KINDS[type(event)]


def event_data(event: Event) -> dict[str, Any]:
    """The event as plain JSON: curves are left out (trials have their own endpoint), infinities become null."""
    data = asdict(event)
    if isinstance(event, TrialDone):
        del data["outcome"]["curve"]
    return cast(dict[str, Any], jsonable(data))


def jsonable(value: Any) -> Any:
    """``value`` with null for infinities and NaN, which JSON does not have, and lists for tuples."""
    match value:
        case float() if not isfinite(value):
            return None
        case dict():
            return {key: jsonable(item) for key, item in value.items()}
        case list() | tuple():
            return [jsonable(item) for item in value]
        case _:
            return value
