"""Requests to the process that checks jobs, and its answers, as JSON. Imports no torch."""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, Field, RootModel

from api.schemas.catalog import CatalogEntry
from api.schemas.checks import CheckedJob
from safs.spec.job import JobSpec


class CheckRequest(BaseModel):
    """Check a job. Answered with a ``CheckedJob``."""

    kind: Literal["check"] = "check"
    spec: JobSpec
    data_root: Path | None
    """Folder of the data sets that are files."""
    weights: Path | None = None
    """The file that ``spec.model.weights`` or ``spec.model.network`` names."""
    upload: Path | None = None
    """The file that ``spec.data.upload`` names."""
    preview: bool = False
    """True if the user's own data are to be previewed."""


class EstimateRequest(BaseModel):
    """Estimate the cost of a job. Answered with ``safs.estimates.Estimate.as_json``."""

    kind: Literal["estimate"] = "estimate"
    spec: JobSpec
    preflight: dict[str, Any]
    """``CheckedJob.preflight``."""
    untimed: str | None = None
    """Reason why nothing is to be timed; None times the job's trainings."""
    memory_bytes: int | None = None
    """Memory that timing may allocate on CPUs; None allows half of what is available."""


class CatalogRequest(BaseModel):
    """List the names that a job spec can use. Answered with kind -> entries."""

    kind: Literal["catalog"] = "catalog"


class Trial(BaseModel):
    """A finished trial."""

    config: dict[str, Any]
    epochs: int
    accuracy: float


class ImportancesRequest(BaseModel):
    """Compute the importances of hyperparameters and sites. Answered with name -> share."""

    kind: Literal["importances"] = "importances"
    trials: list[Trial]


class Request(RootModel[CheckRequest | EstimateRequest | CatalogRequest | ImportancesRequest]):
    """A request of any kind."""

    root: Annotated[CheckRequest | EstimateRequest | CatalogRequest | ImportancesRequest, Field(discriminator="kind")]


class Refusal(BaseModel):
    """The error of a request, in the terms of ``safs.errors``."""

    code: str
    message: str
    field: str | None


Result: TypeAlias = CheckedJob | dict[str, list[CatalogEntry]] | dict[str, Any]


class Answer(BaseModel):
    """The answer to a request: one of its fields is set."""

    result: Any = None
    refusal: Refusal | None = None
    defect: str | None = None
    """Traceback of an error that nothing foresaw."""
