"""Bodies of a job's trials: pages, columns, learning curves, importances."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from api.schemas.base import Page, Response
from safs.events.kinds import Stage
from store.records import TrialState


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


class Importances(BaseModel):
    """Importances in one search."""

    stage: Stage = Field(description="Stage of the search.")
    trials: int = Field(description="Number of finished trials.")
    shares: dict[str, float] = Field(
        description="Hyperparameter, or `operator:` and a site, to its share in [0, 1], the greatest first; empty if "
        "there are too few trials. Names that only some trials have are left out."
    )
