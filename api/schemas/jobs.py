"""Bodies of a job: the request, its state, its progress and its result."""

from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field

from api.schemas.base import Page, Response
from safs.events.kinds import Stage
from safs.spec.final import FinalCandidate
from safs.spec.job import JobSpec
from safs.spec.training import Recipe
from store.records import JobState

FILLED_BY_PRESET = ("train", "prune", "activations", "tune", "joint", "final")
"""Sections that can be null, as in a YAML file that leaves them empty: the preset fills them."""


def _require_two_fields(schema: dict[str, Any]) -> None:
    schema["required"] = ["model", "data"]
    for section in FILLED_BY_PRESET:
        schema["properties"][section] = {"anyOf": [schema["properties"][section], {"type": "null"}]}


class JobRequest(JobSpec):
    """A job: prune a network to a sparsity, then find the activation functions and hyperparameters that suit it.

    Only `model`, `data`, and exactly one of `sparsity` and `target` are required. `preset` fills all other fields;
    given values take precedence.
    """

    model_config = ConfigDict(json_schema_extra=_require_two_fields)


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
