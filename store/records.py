"""What the store hands out: frozen copies of rows, valid after the transaction that read them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeAlias, TypeVar

Json: TypeAlias = dict[str, Any]
"""A JSON object; no NaN, no infinity."""

Item = TypeVar("Item")


class JobState(StrEnum):
    """A job's life: queued -> running -> succeeded or failed; cancelling is running until the runner has noticed."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more."""
        return self in FINAL_STATES


ACTIVE_STATES = (JobState.RUNNING, JobState.CANCELLING)
"""A runner holds the lease of a job in these states, and in no other."""
FINAL_STATES = (JobState.CANCELLED, JobState.SUCCEEDED, JobState.FAILED)


class TrialState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    """It broke down; ``error`` says why. An outcome like any other."""
    INTERRUPTED = "interrupted"
    """The job ended or changed hands while it ran."""


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed, in one sentence."""

    code: str
    message: str
    stage: str | None = None
    """The stage in which it happened, if one had begun."""


@dataclass(frozen=True, slots=True)
class Job:
    id: str
    name: str | None
    spec: Json
    state: JobState
    stage: str | None
    progress: Json | None
    attempt: int
    """How many times a runner has begun it; a runner that hands it back does not count."""
    max_attempts: int
    worker: str | None
    """Who holds the lease now."""
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    result: Json | None
    """A succeeded job's summary."""
    error: JobError | None
    reused: dict[str, list[str]] | None
    """Stage -> ids of the jobs that made what was used here; None if all was made by this job."""
    owner: str | None
    """Whose it is; None if it was submitted without a key."""
    traceparent: str | None
    """W3C trace context of the request that submitted it."""
    runners_lost: int
    """Runners that stopped answering while they had it."""
    workers_lost: int
    """Ray workers that were lost while a runner went on."""
    trials_repeated: int
    """Trials that were cut short by either, and run again."""
    seconds_lost: float
    """Wall time between the last thing that was finished before each loss and the moment when the work went on."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to run a job and to write about it."""

    job_id: str
    token: str
    """New at each claim: a runner that was taken for dead writes nothing more."""
    expires_at: datetime
    """As of the claim, by the database's clock; ``queue.renew`` moves it on."""


@dataclass(frozen=True, slots=True)
class Claim:
    job: Job
    lease: Lease


@dataclass(frozen=True, slots=True)
class TrialOutcome:
    """What a trial found; a number that is not finite is stored as None."""

    loss: float | None
    accuracy: float | None = None
    """On the validation split, in [0, 1]."""
    cross_entropy: float | None = None
    """On the validation split, in nats."""
    best_epoch: int | None = None
    """In which it had them."""
    seconds: float = 0.0
    error: str | None = None
    left: str | None = None
    """Why it ended before its last epoch though it did not break down."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One epoch of a trial."""

    epoch: int
    train_loss: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial without its curve."""

    job_id: str
    stage: str
    number: int
    config: Json
    epochs: int
    seed: int
    state: TrialState
    outcome: TrialOutcome | None
    """None while it runs, and if it was interrupted."""
    started_at: datetime
    finished_at: datetime | None
    horizon: int | None
    """Epochs that its learning-rate schedule spans, where that is more than ``epochs``."""
    continues: int | None
    """Number of the trial of this stage that it went on with."""
    recalled: str | None
    """Id of the job that ran it, if that was another one."""


@dataclass(frozen=True, slots=True)
class FinishedTrial:
    """A trial that is done or failed, with its curve."""

    trial: Trial
    curve: tuple[CurvePoint, ...]


@dataclass(frozen=True, slots=True)
class Event:
    number: int
    """1 for a job's first, then without gaps."""
    kind: str
    at: datetime
    data: Json


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """Content in the ``ArtifactStore``."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class JobArtifact:
    """A file of a job's result."""

    name: str
    sha256: str
    size_bytes: int
    media_type: str


@dataclass(frozen=True, slots=True)
class StageOutput:
    """What a stage made, under the hash of all that it depends on."""

    key: str
    stage: str
    job_id: str
    """Who made it."""
    sha256: str


@dataclass(frozen=True, slots=True)
class Upload:
    id: str
    sha256: str
    size_bytes: int
    filename: str
    created_at: datetime
    owner: str | None
    """Whose it is; None if it was sent without a key."""
    tensors: int | None
    """How many the file holds; None if it came before they were counted."""


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A part of a list; ``next_token`` asks for the part after it, None if this is the last."""

    items: tuple[Item, ...]
    next_token: str | None
