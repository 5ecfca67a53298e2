"""Records that the store returns: frozen copies of rows, valid after the transaction has ended."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeAlias, TypeVar

Json: TypeAlias = dict[str, Any]
"""A JSON object; no NaN, no infinity."""

Item = TypeVar("Item")


class JobState(StrEnum):
    """State of a job: queued -> running -> succeeded or failed.

    ``cancelling`` is a running job whose cancellation was requested, until its runner has stopped.
    """

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """True if the state cannot change any more."""
        return self in FINAL_STATES


ACTIVE_STATES = (JobState.RUNNING, JobState.CANCELLING)
"""States in which a runner holds the lease of the job."""
FINAL_STATES = (JobState.CANCELLED, JobState.SUCCEEDED, JobState.FAILED)


class TrialState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    """The trial raised; its ``error`` has the reason. The search goes on."""
    INTERRUPTED = "interrupted"
    """The job ended, or another runner took it over, while the trial ran."""


@dataclass(frozen=True, slots=True)
class JobError:
    """Reason for which a job failed."""

    code: str
    message: str
    """One sentence."""
    stage: str | None = None
    """Stage in which the job failed; None if no stage had begun."""


@dataclass(frozen=True, slots=True)
class Job:
    id: str
    name: str | None
    spec: Json
    state: JobState
    stage: str | None
    progress: Json | None
    attempt: int
    """Number of times that a runner has begun the job; a runner that hands it back in good order does not count."""
    max_attempts: int
    worker: str | None
    """Name of the runner that holds the lease; None if there is none."""
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    result: Json | None
    """Summary of the result; None unless the job succeeded."""
    error: JobError | None
    """Reason of the failure; None unless the job failed."""
    reused: dict[str, list[str]] | None
    """Mapping of stages to the ids of the jobs whose outputs were reused; None if nothing was reused."""
    owner: str | None
    """Owner of the key that submitted the job; None if it was submitted without a key."""
    traceparent: str | None
    """W3C trace context of the request that submitted the job; None if it had none."""
    runners_lost: int
    """Number of runners that stopped answering while they held the job."""
    workers_lost: int
    """Number of Ray workers that were lost while the runner went on."""
    trials_repeated: int
    """Number of trials that were cut short by a lost runner or worker, and run again."""
    seconds_lost: float
    """Wall time between the last finished trial before each loss and the moment when the work went on."""
    event_count: int
    """Number of the newest event; 0 before the first."""
    cores_awaited: int | None
    """Number of cores that the job waits for on a shared Ray cluster; 0 before it is known; None if it has its cores.
    """
    jobs_before: int | None
    """Number of jobs before it on that cluster; None if it does not wait."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A runner's exclusive right to run a job and to write to its rows."""

    job_id: str
    token: str
    """Random token, new at each claim, so that writes of an earlier holder are refused."""
    expires_at: datetime
    """Expiry at the time of the claim, by the database's clock; ``queue.renew`` extends it in the database."""


@dataclass(frozen=True, slots=True)
class Claim:
    job: Job
    lease: Lease


@dataclass(frozen=True, slots=True)
class TrialOutcome:
    """Result of a trial; a number that is not finite is stored as None."""

    loss: float | None
    accuracy: float | None = None
    """Accuracy on the validation split, in [0, 1]."""
    cross_entropy: float | None = None
    """Cross entropy on the validation split, in nats."""
    best_epoch: int | None = None
    """Epoch with these values, from 1."""
    seconds: float = 0.0
    error: str | None = None
    """Reason of a failure; None if the trial succeeded."""
    left: str | None = None
    """Reason for which a successful trial ended before its last epoch; None if it did not."""


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
    """Number of epochs that the learning-rate schedule spans; None if that is ``epochs``."""
    continues: int | None
    """Number of the trial in the same stage from whose state this one started; None if it started from scratch."""
    recalled: str | None
    """Id of the other job that ran the trial; None if this job ran it."""


@dataclass(frozen=True, slots=True)
class FinishedTrial:
    """A done or failed trial with its learning curve."""

    trial: Trial
    curve: tuple[CurvePoint, ...]


@dataclass(frozen=True, slots=True)
class Event:
    number: int
    """Consecutive number within the job, from 1."""
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
    """Output of a stage, stored under a key that later jobs can compute."""

    key: str
    """Hash of everything that the output depends on."""
    stage: str
    job_id: str
    """Id of the job that made it."""
    sha256: str


class UploadKind(StrEnum):
    """The content of an uploaded file."""

    WEIGHTS = "weights"
    """A state dict in a safetensors file."""
    ARRAYS = "arrays"
    """Images and labels in an ``.npz`` file."""
    PICTURES = "pictures"
    """Pictures in one folder for each class, in a zip or tar archive."""


@dataclass(frozen=True, slots=True)
class Upload:
    id: str
    sha256: str
    size_bytes: int
    filename: str
    created_at: datetime
    owner: str | None
    """Owner of the key that sent the file; None if it was sent without a key."""
    tensors: int | None
    """Number of tensors in the file; None for a data set, and for uploads that are older than this column."""
    kind: UploadKind
    images: int | None
    """Number of images in the file; None for weights."""


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a list."""

    items: tuple[Item, ...]
    next_token: str | None
    """Token of the next page; None if this is the last."""
