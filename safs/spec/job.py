"""JobSpec: everything that a user can ask for, and nothing that a machine decides.

Only ``model``, ``data`` and ``sparsity`` are required. ``preset`` fills in the rest, and given values override it. The
types check shapes and ranges. ``safs.preflight`` checks names and combinations, which needs torch; this module does not
import torch.
"""

from typing import Any, Literal

from pydantic import Field, model_validator

from safs.spec.data import DataSpec
from safs.spec.deploy import DeploySpec
from safs.spec.fields import Label, Section, filled
from safs.spec.final import FinalSpec
from safs.spec.network import ModelSpec
from safs.spec.presets import fill
from safs.spec.pruning import PruneSpec
from safs.spec.resources import ResourcesSpec
from safs.spec.searches import ActivationsSpec, JointSpec, TuneSpec
from safs.spec.training import TrainSpec


class JobSpec(Section):
    """A job: prune this network to this sparsity, then find the activations and hyperparameters that suit it.

    >>> spec = JobSpec.model_validate(
    ...     {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": 0.99, "preset": "paper"})
    >>> spec.activations.epochs, spec.prune.distribution
    (80, 'uniform')
    """

    model: ModelSpec
    data: DataSpec
    sparsity: float = Field(ge=0, lt=1)
    """Fraction of the prunable weights (conv and linear; no biases, no norms) that are exactly zero at the end."""
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

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        preset = given.get("preset", "balanced")
        return fill(given, preset) if preset in ("quick", "balanced", "paper") else _sections_present(given)


def _sections_present(given: dict[str, Any]) -> dict[str, Any]:
    """``given`` with empty sections, so that a wrong preset is the only error reported."""
    return {"train": {}, "activations": {}, "tune": {}, "joint": {}, "final": {}} | given
