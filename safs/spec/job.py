"""JobSpec: all that a user can ask for, and nothing that a machine decides.

Only ``model``, ``data`` and ``sparsity`` must be given; ``preset`` fills the rest, and what the user says wins. The
types check shapes and ranges; whether the names exist and the parts fit each other is for ``safs.preflight``,
which needs torch. This file does not import it.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from safs.spec.presets import fill, fill_prune
from safs.spec.strict import Plain, storable, storable_options

Name = Annotated[str, Field(min_length=1, max_length=200)]
Label = Annotated[str, Field(max_length=200), AfterValidator(storable)]
FreeOptions = Annotated[dict[str, Any], AfterValidator(storable_options)]
Epochs = Annotated[int, Field(ge=1, le=10_000)]
Trials = Annotated[int, Field(ge=1, le=10_000)]

LONGEST_JOB_S = 10 * 365 * 24 * 3600


class Section(Plain):
    """A part of a job spec."""


class ModelSpec(Section):
    """Which network."""

    architecture: Name
    """A name of the models registry, ``torchvision/<name>`` or ``timm/<name>``."""
    weights: Name | None = None
    """Dense weights to start from: the id of an upload, or a path for ``safs run``. Without it the job trains them."""


class DataSpec(Section):
    """Which data, and how it is cut into train, validation and test."""

    dataset: Name
    path: Name | None = None
    """``image_folder`` and ``npz``: where, relative to the data root."""
    validation_fraction: float = Field(0.1, gt=0, lt=1)
    """Share of the training images that are kept for validation; stratified by class."""
    test_fraction: float = Field(0.2, gt=0, lt=1)
    """Share kept for the test split where the data set brings none (digits, npz without x_test)."""
    batch_size: int = Field(256, ge=1, le=65_536)
    augment: Literal["default", "none"] = "default"
    """``default``: what is usual for the data set (crop and flip for colour photographs, nothing for digits)."""
    image_size: int | None = Field(None, ge=8, le=1024)
    """Images are resized to this many pixels a side; by default to the nearest size the architecture takes."""


class Recipe(Section):
    """How weights are trained: optimizer, its numbers, and the learning rate's schedule."""

    optimizer: Name = "adam"
    learning_rate: float = Field(1e-3, gt=0, le=100)
    weight_decay: float = Field(0.0, ge=0, le=1)
    """Never applied to an operator's own scalars, nor to norms and biases."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """SGD's momentum; the other optimizers keep their library's betas."""
    schedule: Name = "constant"


class TrainSpec(Recipe):
    """Dense training when no weights are given, and the default protocol's recipe after pruning."""

    epochs: Epochs = 30


class PruneSpec(Section):
    """What is removed, when and how. What is left out the method decides (``safs.spec.presets.METHODS``).

    >>> PruneSpec(method="greg1").schedule, PruneSpec().schedule
    ('growing', 'one_shot')
    """

    method: Name = "magnitude"
    score: Name = "magnitude"
    """What a weight is worth: ``magnitude``, ``gradient``, ``synflow``, ``lookahead`` or ``random``."""
    distribution: Name = "global"
    """How the sparsity is spread over layers: ``global``, ``erk``, ``lamp`` or ``uniform`` (SAFS as published)."""
    schedule: Name = "one_shot"
    """When it is removed: ``one_shot``, or while training: ``iterative``, ``cubic``, ``one_cycle``, ``cyclic``."""
    granularity: Name = "weight"
    """What goes together: ``weight``, ``filter``, ``input_channel``, ``column``, ``row``, or n of m such as ``2:4``."""
    epochs: int = Field(0, ge=0, le=10_000)
    """Epochs of training while pruning; 0 where nothing is trained, by default as many as ``train`` has."""
    recipe: Recipe | None = None
    """How it trains; None is ``train``'s recipe."""
    options: FreeOptions = Field(default_factory=dict)
    """What else the method and the schedule can be told; ``GET /v1/catalog`` lists it."""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_method(cls, given: Any) -> Any:
        return fill_prune(given) if isinstance(given, dict) else given


class SearchSpec(Section):
    """A search: which strategy, and what it may spend."""

    strategy: Name
    trials: Trials
    """Configurations that are tried."""
    epochs: Epochs
    """Of a trial's training; a multi-fidelity strategy (``asha``, ``hyperband``) gives as many to the best alone."""
    portfolio: bool = Field(True, strict=True)
    """Whether it first tries a few points that are known to do well in very sparse networks, the default among them."""
    options: FreeOptions = Field(default_factory=dict)
    """What else the strategy can be told; ``GET /v1/catalog`` lists it."""


class ActivationsSpec(SearchSpec):
    """Stage 1: the search for an operator a site."""

    strategy: Name = "lahc"
    trials: Trials = 22
    epochs: Epochs = 8
    operators: Literal["all"] | list[Name] = "all"
    """Candidates at every site; the network's own activations are always among them. The joint search has them too."""
    scope: Literal["site", "block", "network"] = "site"
    """What shares an operator: nothing, the sites of a block, or all. The joint search has the same."""


class TuneSpec(SearchSpec):
    """Stage 2: the search for fine-tuning hyperparameters, with alpha and beta learnable."""

    strategy: Name = "smac"
    trials: Trials = 20
    epochs: Epochs = 8


class JointSpec(SearchSpec):
    """Both stages at once: operators and hyperparameters in one space, with alpha and beta learnable."""

    strategy: Name = "asha"
    trials: Trials = 36
    epochs: Epochs = 8


class FinalCandidate(StrEnum):
    """The rows of the final comparison."""

    DEFAULT = "default"
    """Default protocol: own activations, the dense recipe."""
    ACTIVATIONS = "activations"
    """Stage 1 alone: its operators, the dense recipe, alpha = beta = 1."""
    HYPERPARAMETERS = "hyperparameters"
    """Stage 2 alone: own activations, tuned recipe, learnable alpha and beta. Costs a second tuning search."""
    SAFS = "safs"
    """Both stages, one after the other."""
    JOINT = "joint"
    """Both at once: the winner of the joint search."""


PUBLISHED = (
    FinalCandidate.DEFAULT,
    FinalCandidate.ACTIVATIONS,
    FinalCandidate.HYPERPARAMETERS,
    FinalCandidate.SAFS,
)
"""The comparison of the SAFS paper."""


class FinalSpec(Section):
    """The trainings to the end that compete on validation; the best one is the result."""

    epochs: Epochs = 30
    repeats: int = Field(1, ge=1, le=20)
    """Seeds a candidate; the candidate with the best mean wins, and its best seed is handed back."""
    candidates: list[FinalCandidate] = Field(default_factory=lambda: list(PUBLISHED), min_length=1)
    """Who competes. The job runs the searches that they need, and no other."""

    @model_validator(mode="after")
    def _baseline_is_always_there(self) -> "FinalSpec":
        if FinalCandidate.DEFAULT not in self.candidates:
            raise ValueError("final.candidates must hold 'default': every report carries its own baseline")
        if len(set(self.candidates)) != len(self.candidates):
            raise ValueError("final.candidates names a candidate twice")
        return self


class ResourcesSpec(Section):
    """What the job may use."""

    trials_in_parallel: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = "auto"
    """How many trials are in flight; the candidates depend on it (and on nothing else of the machine)."""
    gpus_per_trial: Annotated[float, Field(ge=0, le=1)] | Literal["auto"] = "auto"
    """A fraction packs several trials on one GPU; a training computes on one at most."""
    time_limit_s: int | None = Field(None, ge=1, le=LONGEST_JOB_S)
    """The job fails after so many seconds, ten years of them at most."""


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
    train: TrainSpec
    prune: PruneSpec = PruneSpec()
    activations: ActivationsSpec
    tune: TuneSpec
    joint: JointSpec
    final: FinalSpec
    resources: ResourcesSpec = ResourcesSpec()
    warm_start: int = Field(0, ge=0, le=20)
    """How many winners of earlier jobs on the same architecture, with any data, the searches try first."""
    seed: int = Field(0, ge=0, lt=2**31)
    name: Label | None = None
    """A label for people."""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        preset = given.get("preset", "balanced")
        return fill(given, preset) if preset in ("quick", "balanced", "paper") else _sections_present(given)


def _sections_present(given: dict[str, Any]) -> dict[str, Any]:
    """``given`` with empty sections, so that a wrong preset is the one error that is told."""
    return {"train": {}, "activations": {}, "tune": {}, "joint": {}, "final": {}} | given
