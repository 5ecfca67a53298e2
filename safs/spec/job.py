"""JobSpec: everything that a user can ask for, and nothing that a machine decides.

``model``, ``data``, and one of ``sparsity`` and ``target`` are required. ``preset`` fills in the rest, and given values
override it. The types check shapes and ranges. ``safs.preflight`` checks names and combinations, which needs torch;
this module does not import torch.
"""

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from safs.spec.data import DataSpec
from safs.spec.deploy import DeploySpec
from safs.spec.fields import Label, Section, filled
from safs.spec.final import FinalSpec
from safs.spec.front import Sparsities, with_front
from safs.spec.network import ModelSpec
from safs.spec.presets import fill
from safs.spec.pruning import PruneSpec
from safs.spec.resources import ResourcesSpec
from safs.spec.searches import ActivationsSpec, JointSpec, TuneSpec
from safs.spec.target import TargetSpec
from safs.spec.training import TrainSpec


def _or_a_list(schema: dict[str, Any]) -> None:
    """The field takes a list, too, which the model turns into ``front``."""
    number, null = schema["anyOf"]
    schema["anyOf"] = [number, {"type": "array", "items": dict(number), "minItems": 2, "maxItems": 20}, null]


class JobSpec(Section):
    """A job: prune this network to this sparsity, then find the activations and hyperparameters that suit it.

    >>> spec = JobSpec.model_validate(
    ...     {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": 0.99, "preset": "paper"})
    >>> spec.activations.epochs, spec.prune.distribution
    (80, 'uniform')
    """

    model: ModelSpec
    data: DataSpec
    target: TargetSpec | None = None
    """Cost of the result in place of ``sparsity``: operations, bytes or time. Exactly one of the two is given."""
    sparsity: float | None = Field(None, ge=0, lt=1, validate_default=True, json_schema_extra=_or_a_list)
    """Fraction of the prunable weights (conv and linear; no biases, no norms) that are exactly zero at the end.

    A list is a front: the highest is the sparsity, and the whole list is ``front``. Null if ``target`` is given; the
    job then finds the sparsity.
    """
    front: Sparsities | None = None
    """Sparsities that each get a result, of one dense training and one search. The search runs at ``sparsity``, which
    is one of them."""
    accuracy_drop: float | None = Field(None, ge=0, le=1)
    """Validation accuracy, as a fraction, that the recommended point of the front may lose against the dense network.

    The default is 0.01. The recommended point is the sparsest that loses no more; its files are the job's result.
    """
    accuracy_floor: float | None = Field(None, gt=0, lt=1)
    """Validation accuracy that the recommended point holds. The job adds points to the front, by bisection, to find the
    highest sparsity that does."""
    preset: Literal["quick", "balanced", "paper"] = "balanced"
    """Budget of the job. The preset fills in what is left out of the sections below."""
    train: TrainSpec
    prune: PruneSpec = filled(PruneSpec())
    activations: ActivationsSpec
    tune: TuneSpec
    joint: JointSpec
    final: FinalSpec
    deploy: DeploySpec = DeploySpec()
    resources: ResourcesSpec = ResourcesSpec()
    warm_start: int = Field(0, ge=0, le=20)
    """Number of winners of earlier jobs on the same architecture, with any data, that the searches try first."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Seed of every random choice of the job."""
    name: Label | None = None
    """Label for people."""

    @property
    def sparsities(self) -> list[float]:
        """The sparsities that each get a result; 0 stands for the one that reaches a target."""
        return self.front or [self.sparsity or 0.0]

    @field_validator("sparsity")
    @classmethod
    def _sparsity_or_target(cls, sparsity: float | None, info: ValidationInfo) -> float | None:
        if sparsity is None and info.data.get("target", "") is None:
            raise PydanticCustomError("missing", "Field required, unless target is given")
        if sparsity is not None and info.data.get("target") is not None:
            raise ValueError("give either sparsity or target")
        return sparsity

    @field_validator("front")
    @classmethod
    def _search_runs_on_the_front(cls, front: list[float] | None, info: ValidationInfo) -> list[float] | None:
        sparsity = info.data.get("sparsity")
        if front is not None and info.data.get("target") is not None:
            raise ValueError("a front has several sparsities, and a target takes one; give either front or target")
        if front is not None and sparsity is not None and sparsity not in front:
            raise ValueError(f"sparsity, at which the search runs, must be one of front; {sparsity} is not")
        return front

    @field_validator("accuracy_drop", "accuracy_floor")
    @classmethod
    def _points_to_choose_from(cls, accuracy: float | None, info: ValidationInfo) -> float | None:
        if accuracy is not None and info.data.get("front", "") is None:
            raise ValueError(f"{info.field_name} chooses a point of a front; give several sparsities")
        if accuracy is not None and info.data.get("accuracy_drop") is not None:
            raise ValueError("give either accuracy_drop or accuracy_floor")
        return accuracy

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        given = with_front(given)
        preset = given.get("preset", "balanced")
        return fill(given, preset) if preset in ("quick", "balanced", "paper") else _sections_present(given)


def _sections_present(given: dict[str, Any]) -> dict[str, Any]:
    """``given`` with empty sections, so that a wrong preset is the only error reported."""
    return {"train": {}, "activations": {}, "tune": {}, "joint": {}, "final": {}} | given
