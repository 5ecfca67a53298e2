"""Request and response bodies of the API, as they appear in the OpenAPI document.

The class names are the schema names, and generated clients use them as type names.
"""

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, RootModel

from safs.events.kinds import Stage
from safs.spec.job import FinalCandidate, JobSpec, Recipe
from safs.spec.strict import Plain
from store import api_keys, records
from store.api_keys import KeyState, Scope
from store.records import JobState, TrialState

if TYPE_CHECKING:  # These import torch.
    from safs.data.preview import DataPreview as OwnData
    from safs.estimates import Estimate as JobEstimate
    from safs.preflight import Preflight

ItemT = TypeVar("ItemT")

FILLED_BY_PRESET = ("train", "prune", "activations", "tune", "joint", "final")
"""Sections that can be null, as in a YAML file that leaves them empty: the preset fills them."""


def _require_three_fields(schema: dict[str, Any]) -> None:
    schema["required"] = ["model", "data", "sparsity"]
    for section in FILLED_BY_PRESET:
        schema["properties"][section] = {"anyOf": [schema["properties"][section], {"type": "null"}]}


class JobRequest(JobSpec):
    """A job: prune a network to a sparsity, then find the activation functions and hyperparameters that suit it.

    Only `model`, `data` and `sparsity` are required. `preset` fills all other fields; given values take precedence.
    """

    model_config = ConfigDict(json_schema_extra=_require_three_fields)


class Response(BaseModel):
    """Base of response bodies; reads attributes of the store's records."""

    model_config = ConfigDict(from_attributes=True)


class Page(Response, Generic[ItemT]):
    """A page of a list."""

    items: list[ItemT] = Field(description="Items of this page.")
    next_page_token: str | None = Field(
        description="`page_token` of the request for the next page; null on the last page."
    )


class JobError(Response):
    """The error that ended a failed job."""

    code: str = Field(description="Kind of error for programs; stable across versions.")
    message: str = Field(description="Cause of the failure in one sentence.")
    stage: Stage | None = Field(description="Stage in which the job failed; null if it failed before the first stage.")


class Progress(Response):
    """Progress of a job."""

    model_config = ConfigDict(extra="allow")

    stage: Stage = Field(description="Current stage.")
    stage_number: int = Field(description="Number of the current stage, from 1.")
    stages: int = Field(description="Number of stages of this job.")
    trials_done: int = Field(description="Trials done in the current stage.")
    trials: int = Field(description="Trials expected in the current stage; 0 if the stage trains nothing.")
    best_accuracy: float | None = Field(
        description="Best validation accuracy in the current stage, in [0, 1]; null before the first epoch."
    )
    epochs_done: int = Field(description="Epochs done in the current stage, summed over its trials.")
    elapsed_s: float = Field(description="Seconds since the job started.")
    remaining_s: float | None = Field(
        description="Estimated seconds until the job ends; null until the first epoch has been measured."
    )
    fraction: float = Field(description="Fraction of the job's epochs that are done, in [0, 1].")


class Faults(Response):
    """Faults that the job survived."""

    runners_lost: int = Field(description="Runners whose lease on the job expired.")
    workers_lost: int = Field(description="Ray workers lost while a runner continued.")
    trials_repeated: int = Field(description="Trials interrupted by a lost runner or worker and run again.")
    seconds_lost: float = Field(
        description="Seconds between the last result before each fault and the moment the job resumed."
    )


class Gain(Response):
    """Accuracy of the result minus that of the default protocol."""

    validation: float | None = Field(
        description="Gain on the validation split; null if the default protocol was not trained."
    )
    test: float | None = Field(description="Gain on the test split; null if the default protocol was not trained.")


class Winner(Response):
    """The choices of the candidate that is the result."""

    assignment: dict[str, str] = Field(description="Operator by site.")
    recipe: Recipe = Field(description="Recipe of the final training.")
    learnable: bool = Field(description="True if the scalars of the operators were trained.")


class JobResult(Response):
    """Summary of a succeeded job's result."""

    model_config = ConfigDict(extra="allow")

    result: FinalCandidate = Field(description="Candidate that is the result, the best on the validation split.")
    validation_accuracy: float = Field(description="Accuracy on the validation split, in [0, 1].")
    test_accuracy: float = Field(description="Accuracy on the test split, in [0, 1].")
    sparsity: float = Field(description="Fraction of the prunable weights that are exactly zero.")
    live_weights: int = Field(description="Number of prunable weights that are left.")
    gain: Gain = Field(description="Gain over the default protocol.")
    winner: Winner = Field(description="Operators and recipe of the result.")


class Waiting(Response):
    """The wait of a running job for cores of a Ray cluster that several runners share."""

    cores: int = Field(description="Number of cores that the job waits for.")
    jobs_before: int = Field(description="Number of jobs that this cluster's runners claimed earlier and still run.")


class Job(Response):
    """A job."""

    id: str = Field(description="Id of the job.", examples=["job_01kb2v9zq3n8f4x7c5m2d"])
    name: str | None = Field(description="Label from the job spec.")
    state: JobState = Field(description="State of the job.")
    stage: Stage | None = Field(
        description="Current stage, or the last one if the job has ended; null before the first stage.",
        examples=["activations"],
    )
    progress: Progress | None = Field(description="Progress of the job; null before it starts.")
    waiting: Waiting | None = Field(
        description="The wait of a running job for cores; null if it does not wait. Its time limit does not count yet."
    )
    attempt: int = Field(description="Number of times a runner has started the job.")
    error: JobError | None = Field(description="Error of a failed job; null otherwise.")
    created_at: datetime = Field(description="Time of submission, in UTC.")
    started_at: datetime | None = Field(description="Time of the first start, in UTC; null while queued.")
    finished_at: datetime | None = Field(description="Time at which the job ended, in UTC; null until then.")
    spec: JobSpec = Field(description="Complete job spec, including the values filled in by the preset.")
    result: JobResult | None = Field(description="Summary of a succeeded job's result; null otherwise.")
    reused: dict[str, list[str]] | None = Field(
        description="Stages whose results were reused, each with the ids of the jobs that computed them; null if this "
        "job computed everything."
    )
    owner: str | None = Field(description="Owner of the job; null if it was submitted without a key.")
    faults: Faults = Field(description="Faults that the job survived.")
    event_count: int = Field(
        description="Number of the newest event. A stream of the events after it continues this description of the job."
    )
    links: dict[str, str] = Field(
        description="Addresses of the job's parts. The files of the result are listed once the job has succeeded."
    )


class JobPage(Page[Job]):
    """A page of a list of jobs."""


class Site(Response):
    """A call of an activation function in the network."""

    path: str = Field(description="Name of the site, such as `conv1` or `b1.act#2`.")
    own: str = Field(description="Activation function that the network has at this site.")


class Range(Response):
    """An expected count with the bounds between which most jobs stay."""

    expected: int = Field(description="Expected count.")
    low: int = Field(description="Lower bound.")
    high: int = Field(description="Upper bound.")


class StageEstimate(Response):
    """Estimated trainings of a stage."""

    stage: Stage = Field(description="Name of the stage.")
    trials: int = Field(description="Expected number of trials.")
    epochs: int = Field(description="Expected number of epochs, summed over the stage's trials.")
    seconds: float | None = Field(description="Expected seconds; null if nothing could be timed.")
    low_s: float | None = Field(description="Lower bound of `seconds`.")
    high_s: float | None = Field(description="Upper bound of `seconds`.")


class Estimate(Response):
    """Estimated duration of a job if no earlier result is reused, without the time in the queue.

    The job's trainings were started and timed briefly on the machine of the API.
    """

    summary: str = Field(
        description="One sentence for people.",
        examples=["about 12 min (9 to 16): 68 trainings, 486 epochs, 4 at once, timed on cpu, 1 thread"],
    )
    trials: Range = Field(description="Trials and trainings of all stages.")
    epochs: Range = Field(description="Epochs of all stages.")
    seconds: float | None = Field(
        description="Expected seconds from the claim of the job to its end; null if nothing could be timed."
    )
    low_s: float | None = Field(description="Lower bound of `seconds`.")
    high_s: float | None = Field(description="Upper bound of `seconds`.")
    before_s: float | None = Field(
        description="Part of `seconds` before the first stage: reading the data, starting workers, timing."
    )
    gpu_hours: float | None = Field(
        description="Expected GPU-hours: the hours of each training times its GPU fraction; null on CPUs."
    )
    device: str | None = Field(
        description="Device on which the trainings were timed; null if nothing could be timed.",
        examples=["cpu, 1 thread"],
    )
    in_flight: int = Field(description="Number of trainings that run at the same time.")
    step_seconds: float | None = Field(
        description="Seconds of an optimizer step, averaged over the job; null if nothing could be timed."
    )
    stages: list[StageEstimate] = Field(description="Estimates of the single stages.")
    untimed: str | None = Field(description="Reason why nothing could be timed; null if it could.")


class ClassCount(Response):
    """Numbers of images of a class."""

    name: str = Field(description="Label, or name of the class folder.")
    train: int = Field(description="Images to train and validate on.")
    test: int | None = Field(description="Test images; null if they are taken from the others.")


class DataPreview(Response):
    """A data set of your own as the service understood it."""

    images: int = Field(description="Images to train on, and to split validation (and test) from.")
    test_images: int | None = Field(description="Images of a test set; null without one.")
    channels: int = Field(description="Channels of the images; pictures in files count as colour here.")
    height: int = Field(description="Pixels before resizing.")
    width: int = Field(description="Pixels before resizing.")
    values: str = Field(description="Type of the values.", examples=["uint8"])
    low: float = Field(description="Smallest value.")
    high: float = Field(description="Largest value.")
    mean: float = Field(description="Mean of the values.")
    std: float = Field(description="Standard deviation of the values.")
    classes: list[ClassCount] = Field(description="Classes and their counts.")
    warnings: list[str] = Field(description="Sentences about what is probably a mistake; empty if nothing is.")


class JobCheck(BaseModel):
    """Result of checking a job without queueing it."""

    spec: JobSpec = Field(description="Complete job spec, including the values filled in by the preset.")
    channels: int = Field(description="Channels of the network's input.")
    image_size: int = Field(description="Width and height of the network's input, in pixels.")
    classes: int = Field(description="Number of classes.")
    train: int = Field(description="Number of images in the training split.")
    validation: int = Field(description="Number of images in the validation split.")
    test: int = Field(description="Number of images in the test split.")
    notes: list[str] = Field(description="Sentences about files of the data set that are not used.")
    weights: int = Field(description="Number of prunable weights.")
    live: int = Field(description="Number of weights left at the target sparsity.")
    sites: list[Site] = Field(description="Calls of activation functions in the network.")
    operators: list[str] = Field(description="Candidate operators at every site.")
    estimate: Estimate = Field(description="Estimated duration of the job.")
    data: DataPreview | None = Field(description="Preview of your own data; null for a data set of the catalog.")

    @classmethod
    def of(cls, spec: JobSpec, found: "Preflight", estimate: "JobEstimate", data: "OwnData | None") -> Self:
        """The check of ``spec`` that found ``found``."""
        return cls(
            spec=spec,
            channels=found.blueprint.channels,
            image_size=found.blueprint.image_size,
            classes=found.blueprint.classes,
            train=found.data.train,
            validation=found.data.validation,
            test=found.data.test,
            notes=list(found.data.notes),
            weights=found.weights,
            live=found.live,
            sites=[Site(path=site.path, own=site.original) for site in found.sites],
            operators=list(found.operators),
            estimate=Estimate.model_validate(estimate.as_json()),
            data=None if data is None else DataPreview.model_validate(data),
        )


class Trial(Response):
    """A trial of a search or a final training, without its learning curve."""

    stage: Stage = Field(description="Stage of the trial.")
    number: int = Field(description="Number of the trial within its stage, from 0.")
    state: TrialState = Field(description="State of the trial.")
    config: dict[str, Any] = Field(description="Operators by site, and hyperparameters by name.")
    epochs: int = Field(description="Epochs after which the trial ends.")
    horizon: int | None = Field(description="Epochs that the learning-rate schedule spans; null if these are `epochs`.")
    continues: int | None = Field(
        description="Number of the trial of this stage that this trial continues; null if it starts anew."
    )
    seed: int = Field(description="Seed of the trial.")
    loss: float | None = Field(
        description="1 - accuracy, which the search minimises; null while the trial runs and if it failed."
    )
    accuracy: float | None = Field(
        description="Best validation accuracy, in [0, 1]; null while the trial runs and if it failed."
    )
    cross_entropy: float | None = Field(
        description="Cross-entropy on the validation split, in nats; null while the trial runs and if it failed."
    )
    seconds: float | None = Field(description="Seconds spent in training and evaluation; null while the trial runs.")
    error: str | None = Field(description="Error of a failed trial; null otherwise.")
    left: str | None = Field(
        description="Reason why the trial was stopped early without an error; null if it was not stopped early."
    )
    recalled: str | None = Field(description="Id of the job that ran the trial; null if this job ran it.")
    started_at: datetime = Field(description="Time at which the trial started, in UTC.")
    finished_at: datetime | None = Field(description="Time at which the trial ended, in UTC; null until then.")
    curve: str = Field(description="Address of the trial's learning curve.")


class TrialPage(Page[Trial]):
    """A page of a job's trials."""


class TrialTable(BaseModel):
    """Columns of equal length with one value for each trial; null where a trial has no such value."""

    stage: list[int] = Field(description="Stage, as an index into `stages`.")
    state: list[int] = Field(description="State, as an index into `states`.")
    number: list[int] = Field(description="Number of the trial within its stage, from 0.")
    epochs: list[int] = Field(description="Epochs after which the trial ends.")
    seed: list[int] = Field(description="Seed.")
    horizon: list[int | None] = Field(description="Epochs that the learning-rate schedule spans, if not `epochs`.")
    continues: list[int | None] = Field(description="Number of the trial of this stage that the trial continues.")
    loss: list[float | None] = Field(description="1 - accuracy, which the search minimises.")
    accuracy: list[float | None] = Field(description="Best validation accuracy, in [0, 1].")
    cross_entropy: list[float | None] = Field(description="Cross-entropy on the validation split, in nats.")
    best_epoch: list[int | None] = Field(description="Epoch with these values, from 1.")
    seconds: list[float | None] = Field(description="Seconds spent in training and evaluation.")
    error: list[int | None] = Field(description="Error of a failed trial, as an index into `reasons`.")
    left: list[int | None] = Field(
        description="Reason why the trial was stopped early without an error, as an index into `reasons`."
    )
    recalled: list[int | None] = Field(description="Job that ran the trial, as an index into `jobs`.")
    started_s: list[float] = Field(description="Time of the start, in seconds after `origin_at`.")
    finished_s: list[float | None] = Field(description="Time of the end, in seconds after `origin_at`.")


class TrialColumns(BaseModel):
    """All trials of a job as columns, in the order in which they ran."""

    count: int = Field(description="Number of trials, the length of each column.")
    origin_at: datetime | None = Field(description="Time of the earliest start, in UTC; null without trials.")
    stages: list[str] = Field(description="All stages in their order, for `columns.stage`.")
    states: list[str] = Field(description="All states of a trial, for `columns.state`.")
    columns: TrialTable = Field(description="What every trial has.")
    sites: dict[str, list[int | None]] = Field(
        description="By site: the operator of each trial, as an index into `operators`; null if it does not choose one."
    )
    hyperparameters: dict[str, list[str | int | float | None]] = Field(
        description="By hyperparameter: the value of each trial; null if it does not have this one."
    )
    operators: list[str] = Field(description="Operators in the order of their first use, for `sites`.")
    reasons: list[str] = Field(description="Texts for `columns.error` and `columns.left`.")
    jobs: list[str] = Field(description="Ids of other jobs, for `columns.recalled`.")


class Epoch(Response):
    """Metrics of one epoch of a trial; null where a value was not finite."""

    epoch: int = Field(description="Number of the epoch, from 1.")
    train_loss: float | None = Field(description="Training loss, in nats.")
    validation_loss: float | None = Field(description="Validation loss, in nats.")
    validation_accuracy: float | None = Field(description="Validation accuracy, in [0, 1].")
    learning_rate: float | None = Field(description="Learning rate of the epoch.")
    seconds: float = Field(description="Seconds spent in training and evaluation.")


class Curve(BaseModel):
    """Learning curve of a trial."""

    stage: Stage = Field(description="Stage of the trial.")
    number: int = Field(description="Number of the trial within its stage, from 0.")
    epochs: list[Epoch] = Field(description="Epochs in order; empty until the trial is done.")


class Event(Response):
    """An event of a job."""

    number: int = Field(description="Number of the event within its job, from 1 without gaps.")
    kind: str = Field(description="Kind of the event.", examples=["trial_done"])
    at: datetime = Field(description="Time of the event, in UTC.")
    data: dict[str, Any] = Field(description="Fields of the event; they depend on the kind.")


class EventPage(BaseModel):
    """A page of a job's events."""

    items: list[Event] = Field(description="Events in the order of their numbers.")
    next_after: int | None = Field(
        description="`after` of the request for the next page; null if no further events exist yet."
    )


class Upload(Response):
    """An uploaded file that a job can name in `model.weights` or `data.upload`."""

    id: str = Field(description="Id of the upload.", examples=["upload_01kb2v9zq3n8f4x7c5m2d"])
    filename: str = Field(description="Name of the file, for people.")
    sha256: str = Field(description="SHA-256 of the file, in hexadecimal.")
    size_bytes: int = Field(description="Size of the file in bytes.")
    kind: records.UploadKind = Field(
        description="What the file holds: `weights` for `model.weights`; `arrays` or `pictures` for `data.upload`."
    )
    tensors: int | None = Field(
        description="Number of tensors in the file; null for a data set, and for uploads of version 0.1."
    )
    images: int | None = Field(description="Number of images in the file; null for weights.")
    created_at: datetime = Field(description="Time of the upload, in UTC.")

    @classmethod
    def of(cls, upload: records.Upload) -> Self:
        """The body for an upload of the store."""
        return cls.model_validate(upload)


class IncomingUploadRequest(BaseModel):
    """A large file that is to arrive in parts."""

    model_config = ConfigDict(extra="forbid")

    filename: str = Field("upload", min_length=1, max_length=200, description="Name of the file, for people.")
    size_bytes: int = Field(ge=1, description="Size of the whole file in bytes.")


class IncomingPart(Response):
    """A part that has arrived."""

    number: int = Field(description="Number of the part, from 1.")
    sha256: str = Field(description="SHA-256 of the part, in hexadecimal.")
    size_bytes: int = Field(description="Size of the part in bytes.")


class IncomingUpload(Response):
    """An upload in parts, and the parts that have arrived."""

    id: str = Field(description="Id of the upload in parts.", examples=["incoming_01kb2v9zq3n8f4x7c5m2d"])
    filename: str = Field(description="Name of the file, for people.")
    size_bytes: int = Field(description="Size of the whole file in bytes.")
    part_bytes: int = Field(description="Size in bytes of every part but the last.")
    parts: list[IncomingPart] = Field(description="Parts that have arrived, in order; none once it is complete.")
    missing: list[int] = Field(description="Numbers of the parts that are missing.")
    upload_id: str | None = Field(description="Id of the upload that the parts became; null before.")
    created_at: datetime = Field(description="Time of the beginning, in UTC. It expires a day later.")


class CatalogEntry(Response):
    """A name that a job spec can use."""

    name: str = Field(description="Name as it is written in a job spec.")
    summary: str = Field(description="One sentence that describes the entry.")
    details: dict[str, Any] = Field(description="Further properties of the entry; they depend on the kind.")


class Catalog(RootModel[dict[str, list[CatalogEntry]]]):
    """All names that a job spec can use, by kind."""


class CatalogKind(BaseModel):
    """All names of one kind."""

    kind: str = Field(description="Kind of the entries.", examples=["operators"])
    items: list[CatalogEntry] = Field(description="Entries of this kind.")


class Importances(BaseModel):
    """Importances in one search."""

    stage: Stage = Field(description="Stage of the search.")
    trials: int = Field(description="Number of finished trials.")
    shares: dict[str, float] = Field(
        description="Hyperparameter, or `operator:` and a site, to its share in [0, 1], the greatest first; empty if "
        "there are too few trials. Names that only some trials have are left out."
    )


class Me(BaseModel):
    """The sender of a request, as its key describes it."""

    owner: str | None = Field(description="Owner of the key; null without a key.")
    scopes: list[Scope] = Field(description="Scopes of the key; all without a key. `admin` includes the others.")
    key: str | None = Field(description="Prefix of the key, its public name; null without a key.")
    expires_at: datetime | None = Field(description="Time at which the key expires; null if it does not.")


class KeyLimits(Plain):
    """Limits of a key."""

    requests_per_minute: int | None = Field(
        None, ge=1, le=1_000_000, description="Requests per minute; null for the service's limit."
    )
    queued_jobs: int | None = Field(
        None, ge=0, le=1_000_000, description="Queued jobs of the owner; null for the service's limit."
    )
    gpu_hours: float | None = Field(
        None, ge=0, le=1e9, description="GPU-hours of the owner within 30 days; null for the service's limit."
    )

    def to_store(self) -> api_keys.KeyLimits:
        """The limits as the store takes them."""
        return api_keys.KeyLimits(**self.model_dump())


class KeyRequest(Plain):
    """A key to create."""

    owner: str = Field(
        pattern=api_keys.OWNER_PATTERN, description="Owner of the jobs that the key submits: a person or a team."
    )
    scopes: list[Scope] = Field(min_length=1, max_length=3, description="What the key allows.")
    lives_s: float | None = Field(
        None, gt=0, le=10 * 365 * 86_400, description="Seconds until the key expires; null for never."
    )
    limits: KeyLimits = Field(default_factory=KeyLimits, description="Limits of the key.")


class ApiKey(Response):
    """A key without its token."""

    key: str = Field(description="Prefix of the key, its public name.")
    owner: str = Field(description="Owner of the key.")
    scopes: list[Scope] = Field(description="What the key allows.")
    state: KeyState = Field(description="`active`, `expired` or `revoked`.")
    created_at: datetime = Field(description="Time of creation, in UTC.")
    expires_at: datetime | None = Field(description="Time at which the key expires; null if it does not.")
    last_used_at: datetime | None = Field(description="Time of the last use, to the minute; null if never used.")
    limits: KeyLimits = Field(description="Limits of the key.")

    @classmethod
    def of(cls, key: api_keys.ApiKey) -> Self:
        """The body for a key of the store."""
        return cls(
            key=key.prefix,
            owner=key.owner,
            scopes=sorted(key.scopes),
            state=key.state,
            created_at=key.created_at,
            expires_at=key.expires_at,
            last_used_at=key.last_used_at,
            limits=KeyLimits(**asdict(key.limits)),
        )


class NewKey(ApiKey):
    """A key with its token, which is shown once."""

    token: str = Field(description="The key itself, for `Authorization: Bearer`. The service keeps only its hash.")


class HeldJob(Response):
    """A job that a runner holds."""

    job_id: str = Field(description="Id of the job.")
    runner: str = Field(description="Name of the runner.")
    state: JobState = Field(description="State of the job.")
    stage: str | None = Field(description="Current stage; null before the first.")
    lease_left_s: float = Field(
        description="Seconds until the runner's lease expires. Each heartbeat renews it; below 0, the runner is lost."
    )


class ServiceStatus(BaseModel):
    """State of the service at one moment."""

    jobs: dict[JobState, int] = Field(description="Number of jobs in each state.")
    oldest_queued_s: float = Field(description="Seconds for which the next job has been queued; 0 if none is.")
    late_leases: int = Field(description="Number of jobs whose runner is lost and that no other has claimed yet.")
    held: list[HeldJob] = Field(description="Jobs that runners hold. Idle runners leave no trace.")
    event_streams: int = Field(description="Open event streams of this process.")
    artifacts: int = Field(description="Number of stored files.")
    artifacts_bytes: int = Field(description="Size of all stored files in bytes.")
    home_free_bytes: float = Field(description="Free bytes on the disk of SAFS_HOME.")
    artifacts_free_bytes: float = Field(description="Free bytes on the disk of the stored files.")
    versions: dict[str, str] = Field(description="Versions of Python and of the main packages, as the API has them.")


class Health(BaseModel):
    """The service works."""

    status: str = Field(description="`ok`.", examples=["ok"])
