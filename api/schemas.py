"""What the API answers."""

from datetime import datetime
from typing import Any, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from safs.estimates import Estimate
from safs.preflight import Preflight
from safs.spec.job import JobSpec
from store.records import JobState, TrialState, Upload

Item = TypeVar("Item")

FILLED_BY_PRESET = ("train", "prune", "activations", "tune", "joint", "final")
"""Sections that may be null, as they are in a YAML file that leaves them empty: the preset's values count."""


def _three_are_enough(schema: dict[str, Any]) -> None:
    schema["required"] = ["model", "data", "sparsity"]
    for section in FILLED_BY_PRESET:
        schema["properties"][section] = {"anyOf": [schema["properties"][section], {"type": "null"}]}


class JobRequest(JobSpec):
    """A job: prune this network to this sparsity, then find the activations and hyperparameters that suit it.

    Only `model`, `data` and `sparsity` must be given; `preset` fills the rest, and what is given wins.
    """

    model_config = ConfigDict(title="JobSpec", json_schema_extra=_three_are_enough)


class View(BaseModel):
    """What the API answers; read from the store's records."""

    model_config = ConfigDict(from_attributes=True)


class Page(View, Generic[Item]):
    """A part of a list."""

    items: list[Item]
    next_page_token: str | None = Field(description="Asks for the part after this one; null if this is the last.")


class ErrorView(View):
    """Why a job failed."""

    code: str
    message: str = Field(description="One sentence for people.")
    stage: str | None = Field(description="The stage in which it happened, if one had begun.")


class ProgressView(View):
    """How far a job is."""

    model_config = ConfigDict(extra="allow")

    stage: str
    stage_number: int = Field(description="1 for the first of this job's stages.")
    stages: int
    trials_done: int = Field(description="In the current stage.")
    trials: int = Field(description="Expected in the current stage; 0 where it trains nothing.")
    best_accuracy: float | None = Field(description="On the validation split, in the current stage.")
    epochs_done: int = Field(description="In the current stage, over all its trials.")
    elapsed_s: float
    remaining_s: float | None = Field(description="Estimated; null until the first epoch has been measured.")
    fraction: float = Field(description="Share of the job's epochs that is done, in [0, 1].")


class FaultsView(View):
    """What went wrong around the job and was survived."""

    runners_lost: int = Field(description="Runners that stopped answering while they had it.")
    workers_lost: int = Field(description="Ray workers that were lost while a runner went on.")
    trials_repeated: int = Field(description="Trials that were cut short by either, and run again.")
    seconds_lost: float = Field(description="From the last thing finished before each loss to going on.")


class JobView(View):
    """A job."""

    id: str = Field(examples=["job_01kb2v9zq3n8f4x7c5m2d"])
    name: str | None
    state: JobState
    stage: str | None = Field(description="What it is doing, or was doing last.", examples=["activations"])
    progress: ProgressView | None
    attempt: int = Field(description="How many times a runner has begun it.")
    error: ErrorView | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    spec: dict[str, Any] = Field(description="The whole job spec, with what the preset filled in.")
    result: dict[str, Any] | None = Field(description="A succeeded job's summary.")
    reused: dict[str, list[str]] | None = Field(
        description="Stage -> ids of the jobs that made what was used here; null if all was made by this job."
    )
    owner: str | None = Field(description="Whose it is; null if it was submitted without a key.")
    faults: FaultsView
    links: dict[str, str] = Field(description="Where its parts are; results are listed once the job has succeeded.")


class SiteView(View):
    """A call of an activation in the network."""

    path: str
    own: str = Field(description="The activation that the network has there.")


class CountView(View):
    """How many, and between which bounds most jobs stay."""

    expected: int
    low: int
    high: int


class StageEstimateView(View):
    """What a stage is expected to train."""

    stage: str
    trials: int
    epochs: int = Field(description="Over all its trials.")
    seconds: float | None
    low_s: float | None
    high_s: float | None


class EstimateView(View):
    """What a job is expected to take, if nothing of it is reused; the time in the queue does not count.

    Its trainings were begun and timed for a moment, on the machine of this API.
    """

    summary: str = Field(
        description="One sentence for people.",
        examples=["about 12 min (9 to 16): 68 trainings, 486 epochs, 4 at once, timed on cpu, 1 thread"],
    )
    trials: CountView = Field(description="Trials and trainings of all stages.")
    epochs: CountView
    seconds: float | None = Field(description="From the first stage to the last; null where nothing could be timed.")
    low_s: float | None
    high_s: float | None
    gpu_hours: float | None = Field(description="Each training's time times its share of a GPU; null on CPUs.")
    device: str | None = Field(description="What it was timed on.", examples=["cpu, 1 thread"])
    in_flight: int = Field(description="Trainings that run at once.")
    step_seconds: float | None = Field(description="Of an optimizer step, on average over the job.")
    stages: list[StageEstimateView]
    untimed: str | None = Field(description="Why nothing could be timed.")


class CheckView(BaseModel):
    """A job that was checked and not queued."""

    spec: dict[str, Any] = Field(description="The whole job spec, with what the preset filled in.")
    channels: int = Field(description="Of the network's input.")
    image_size: int = Field(description="Of the network's input, pixels a side.")
    classes: int
    train: int = Field(description="Images of the training split.")
    validation: int
    test: int
    weights: int = Field(description="Prunable weights.")
    live: int = Field(description="Of them left at the target sparsity.")
    sites: list[SiteView]
    operators: list[str] = Field(description="Candidates at every site.")
    estimate: EstimateView

    @classmethod
    def of(cls, spec: JobSpec, found: Preflight, estimate: Estimate) -> Self:
        """The view of what the checks found."""
        return cls(
            spec=spec.model_dump(mode="json"),
            channels=found.blueprint.channels,
            image_size=found.blueprint.image_size,
            classes=found.blueprint.classes,
            train=found.train,
            validation=found.validation,
            test=found.test,
            weights=found.weights,
            live=found.live,
            sites=[SiteView(path=site.path, own=site.original) for site in found.sites],
            operators=list(found.operators),
            estimate=EstimateView.model_validate(estimate.as_json()),
        )


class TrialView(View):
    """A trial of a search, or a training to the end; without its curve."""

    stage: str
    number: int = Field(description="Within its stage, from 0.")
    state: TrialState
    config: dict[str, Any] = Field(description="Site -> operator, or hyperparameter -> value.")
    epochs: int
    horizon: int | None = Field(description="Epochs that its learning-rate schedule spans, if that is more.")
    continues: int | None = Field(description="Number of the trial of this stage that it goes on with.")
    seed: int
    loss: float | None = Field(description="Minimised: 1 - accuracy. Null while it runs and if it broke down.")
    accuracy: float | None = Field(description="Best on the validation split, in [0, 1].")
    cross_entropy: float | None = Field(description="On the validation split, in nats.")
    seconds: float | None = Field(description="Spent in training and evaluation.")
    error: str | None = Field(description="Why it broke down.")
    left: str | None = Field(description="Why it ended before its last epoch though it did not break down.")
    recalled: str | None = Field(description="Id of the job that ran it, if that was another one.")
    started_at: datetime
    finished_at: datetime | None
    curve: str = Field(description="Where its curve is.")


class EpochView(View):
    """One epoch of a trial; losses in nats, null where they were not finite."""

    epoch: int
    train_loss: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float | None
    seconds: float


class CurveView(BaseModel):
    """A trial's learning curve."""

    stage: str
    number: int
    epochs: list[EpochView] = Field(description="Empty until the trial is done.")


class EventView(View):
    """Something that happened to a job."""

    number: int = Field(description="1 for the job's first, then without gaps.")
    kind: str = Field(examples=["trial_done"])
    at: datetime
    data: dict[str, Any]


class EventPage(BaseModel):
    """Events of a job, in order."""

    items: list[EventView]
    next_after: int | None = Field(description="`after` of the next page; null if there is nothing more yet.")


class UploadView(View):
    """A file that a job can name in `model.weights`."""

    id: str = Field(examples=["upload_01kb2v9zq3n8f4x7c5m2d"])
    filename: str
    sha256: str
    size_bytes: int
    tensors: int | None = Field(description="How many tensors the file holds; null where version 0.1 took it.")
    created_at: datetime

    @classmethod
    def of(cls, upload: Upload) -> Self:
        """The view of an upload."""
        return cls.model_validate(upload)


class EntryView(View):
    """A name that a job spec may use."""

    name: str
    summary: str
    details: dict[str, Any] = Field(description="What else is known of it; depends on the kind.")


class KindView(BaseModel):
    """All names of one kind."""

    kind: str = Field(examples=["operators"])
    items: list[EntryView]


class HealthView(BaseModel):
    """The service works."""

    status: str = Field(examples=["ok"])
