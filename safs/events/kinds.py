"""The events that a running job reports, in order. The store, the event stream and the progress bars read them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from safs.json_form import from_json, to_json
from safs.trials import Candidate, EpochMetrics, Outcome


class Stage(StrEnum):
    """The stages of a job, in the order in which they run."""

    DENSE = "dense"
    PRUNE_SEARCH = "prune_search"
    """Compare pruned starts, each after a short tuning."""
    PRUNE = "prune"
    ACTIVATIONS = "activations"
    """SAFS stage 1: search the operator of each site."""
    TUNE = "tune"
    """SAFS stage 2: search the hyperparameters of fine-tuning, with stage 1's operators."""
    TUNE_ALONE = "tune_alone"
    """Stage 2 with the network's own activations, for comparison."""
    JOINT = "joint"
    """Search operators and hyperparameters together, in one space."""
    FINAL = "final"
    """Train the candidates to the end; the best on the validation split is the result."""
    FRONT = "front"
    """Train the candidates at the other sparsities of a front, and at those that bisection adds."""
    REPORT = "report"
    """Read the test split, once; write checkpoint, config and report."""

    @property
    def section(self) -> str:
        """The section of the job spec that configures the stage."""
        others = {Stage.TUNE_ALONE: "tune", Stage.DENSE: "train", Stage.PRUNE_SEARCH: "prune", Stage.FRONT: "final"}
        return others.get(self, self.value)


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A stage has begun."""

    stage: Stage
    trials: int
    """Expected number of trials or trainings; 0 if the stage trains nothing. LAHC may add some while it improves."""
    epochs: int
    """Epochs of each trial."""


@dataclass(frozen=True, slots=True)
class TrialStarted:
    """A trial has begun."""

    stage: Stage
    candidate: Candidate


@dataclass(frozen=True, slots=True)
class EpochDone:
    """A training has finished an epoch."""

    stage: Stage
    trial: int
    """Number of the candidate within its stage."""
    metrics: EpochMetrics


@dataclass(frozen=True, slots=True)
class TrialDone:
    """A trial has ended, well or not."""

    stage: Stage
    candidate: Candidate
    outcome: Outcome
    recalled: str | None = None
    """Source of an outcome that was reused: ``an earlier attempt``, or the id of another job. None if the trial ran."""


@dataclass(frozen=True, slots=True)
class StageDone:
    """A stage has ended well."""

    stage: Stage
    seconds: float
    summary: str
    """One sentence for people."""
    recalled: str | None = None
    """Sources of the stage's reused outputs, as in ``TrialDone``, separated by commas. None if nothing was reused."""


@dataclass(frozen=True, slots=True)
class Note:
    """A message for people: a warning, a fallback, a surprise."""

    message: str
    level: str = "info"
    """``info`` or ``warning``."""


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """The process or the node of a training died. Its work is run again."""

    stage: Stage | None
    trial: int | None
    """Number of the candidate within its stage. ``stage`` and ``trial`` are None for an evaluation."""
    seconds: float
    """Wall time of the work that was lost."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """A sign of life, reported several times a second while trials run so that ``report`` can end them. Not stored."""


Event: TypeAlias = StageStarted | TrialStarted | EpochDone | TrialDone | StageDone | Note | WorkerLost | Pulse
Report: TypeAlias = Callable[[Event], None]
"""The only way out of a running job. Raises ``Interrupted`` (or the store's ``LeaseLost``) when the job must end."""

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
    """The event as plain JSON. Curves are left out, since trials have their own endpoint."""
    data: dict[str, Any] = to_json(event)
    if isinstance(event, TrialDone):
        del data["outcome"]["curve"]
    return data


def event_from(kind: str, data: Mapping[str, Any]) -> Event | None:
    """The event that ``event_kind`` and ``event_data`` describe; None for a kind that only a newer service knows."""
    return from_json(EVENT_KINDS[kind], data) if kind in EVENT_KINDS else None
