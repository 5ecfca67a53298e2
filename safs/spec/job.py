"""JobSpec: everything that a user can ask for, and nothing that a machine decides.

Only ``model``, ``data`` and ``sparsity`` are required. ``preset`` fills in the rest, and given values override it. The
types check shapes and ranges. ``safs.preflight`` checks names and combinations, which needs torch; this module does not
import torch.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from safs.spec.presets import fill, fill_prune
from safs.spec.strict import Plain, storable, storable_options

Name = Annotated[str, Field(min_length=1, max_length=200)]
PathText = Annotated[str, Field(min_length=1, max_length=4096)]
"""A path, as long as Linux takes one."""
Label = Annotated[str, Field(max_length=200), AfterValidator(storable)]
FreeOptions = Annotated[dict[str, Any], AfterValidator(storable_options)]
Epochs = Annotated[int, Field(ge=1, le=10_000)]
Trials = Annotated[int, Field(ge=1, le=10_000)]

AconStart = Literal["swish", "identity"]
Dispatcher = Literal["actors", "tune"]
Precision = Literal["float32", "bfloat16"]
Format = Literal["compact", "onnx", "pt2", "torch", "c"]
"""Name in ``safs.deploy.formats.FORMATS``, which this module may not import."""
Runtime = Literal["torch", "sparse"]
"""Name in ``safs.deploy.loading.RUNTIMES``, which this module may not import."""

LONGEST_JOB_S = 10 * 365 * 24 * 3600


def filled(default: Any, **constraints: Any) -> Any:
    """A field whose missing value a preset or a pruning method fills in; ``default`` is used if neither does.

    The JSON schema states no ``default`` for it. Generated clients send every default that a schema states, and a value
    that is sent overrides the preset and the method.
    """
    return Field(default, json_schema_extra=_without_default, **constraints)


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


class Section(Plain):
    """A part of a job spec."""


class ModelSpec(Section):
    """The network to prune."""

    network: PathText | None = None
    """Own network with its weights, from ``safs.capture``: the id of an upload, or a path for ``safs run``."""
    weights: PathText | None = None
    """Dense weights to start from: the id of an upload, or a path for ``safs run``. None trains the dense network."""
    architecture: Name | None = Field(None, validate_default=True)
    """Name in the models registry, ``torchvision/<name>``, ``timm/<name>`` or ``plugin/<name>``."""

    @field_validator("weights")
    @classmethod
    def _own_network_has_weights(cls, weights: str | None, info: ValidationInfo) -> str | None:
        if weights is not None and info.data.get("network") is not None:
            raise ValueError("model.network holds its own weights; leave out model.weights")
        return weights

    @field_validator("architecture")
    @classmethod
    def _one_network(cls, architecture: str | None, info: ValidationInfo) -> str | None:
        if architecture is None and info.data.get("network", "") is None:
            raise PydanticCustomError("missing", "Field required, unless model.network is given")
        if architecture is not None and info.data.get("network") is not None:
            raise ValueError("give either model.architecture or model.network")
        return architecture

    @property
    def file(self) -> str | None:
        """The upload or the file that the job reads its network or its dense weights from."""
        return self.network or self.weights


class NormaliseSpec(Section):
    """Mean and standard deviation that a pretrained network expects, after images of bytes are divided by 255.

    Each has one number for all channels, or one for each channel.
    """

    mean: list[Annotated[float, Field(ge=-1e6, le=1e6)]] = Field(min_length=1, max_length=4)
    """Means by channel."""
    std: list[Annotated[float, Field(gt=0, le=1e6)]] = Field(min_length=1, max_length=4)
    """Standard deviations by channel, above 0."""


class DataSpec(Section):
    """The data set, and how it is split into train, validation and test."""

    dataset: Name
    """Name in the data sets registry."""
    path: PathText | None = None
    """Path of an ``image_folder`` or ``npz`` data set, relative to the data root; None for other data sets."""
    upload: PathText | None = None
    """File of the data set ``upload``: the id of an upload, or a path for ``safs run``; None for other data sets."""
    validation_fraction: float = Field(0.1, gt=0, lt=1)
    """Fraction of the training images used for validation, stratified by class."""
    test_fraction: float = Field(0.2, gt=0, lt=1)
    """Fraction used for testing if the data set has no test split (digits, npz without x_test)."""
    batch_size: int = Field(256, ge=1, le=65_536)
    """Images per batch."""
    augment: Literal["default", "none"] = "default"
    """``default`` crops and flips colour photographs and leaves digits unchanged; ``none`` augments nothing."""
    image_size: int | None = Field(None, ge=8, le=1024)
    """Pixels a side that images are resized to; None uses the size nearest to the images' that the network takes."""
    channels: int | None = Field(None, ge=1, le=4)
    """Channels that the network reads; grey images are repeated. None uses the number nearest to the images'."""
    normalise: NormaliseSpec | None = None
    """Numbers to normalise images by; None uses the mean and standard deviation of the training images."""


class Recipe(Section):
    """A training recipe: optimizer, hyperparameters and learning-rate schedule."""

    optimizer: Name = filled("adam")
    """Name in the optimizers registry. If left out, the preset decides; ``adam`` unless it names another one."""
    learning_rate: float = filled(1e-3, gt=0, le=100)
    """Initial learning rate. If left out, the preset decides; 1e-3 unless it names another one."""
    weight_decay: float = filled(0.0, ge=0, le=1)
    """Weight decay, never applied to operators' scalars, norms and biases. If left out, the preset decides; else 0."""
    momentum: float = filled(0.9, ge=0, lt=1)
    """Momentum of SGD; other optimizers keep their library's betas. If left out, the preset decides; else 0.9."""
    nesterov: bool = filled(False, strict=True)
    """True if SGD uses Nesterov momentum; other optimizers ignore it. If left out, the preset decides; else false."""
    schedule: Name = filled("constant")
    """Learning-rate schedule. If left out, the preset decides; ``constant`` unless it names another one."""


class TrainSpec(Recipe):
    """Dense training if no weights are given, and the default protocol's recipe after pruning."""

    epochs: Epochs = filled(30)
    """Epochs of the dense training. If left out, the preset decides."""


class PruneSearchSpec(Section):
    """The search for a pruned start: each is pruned, tuned for a few epochs by ``train``'s recipe, and compared."""

    starts: int = Field(ge=2, le=100)
    """Number of pruned starts to compare. If left out, the preset decides."""
    epochs: Epochs
    """Epochs of the longest trials, pruning included. If left out, the preset decides."""
    distributions: list[Name] | None = Field(None, min_length=1)
    """Distributions to compare, in the order of preference; null is ``prune.distribution`` alone.

    If left out, ``global``, ``lamp`` and ``erk``, or null if ``prune.distribution`` is given.
    """
    schedules: list[Name] | None = Field(None, min_length=1)
    """Schedules to compare; null is ``prune.schedule`` alone.

    If left out, ``cubic`` and ``one_shot``, or null if ``prune.schedule`` is given.
    """
    recipes: list[Recipe] | None = Field(None, min_length=1)
    """Recipes of the training while pruning, in the order of preference; null is ``prune.recipe`` alone.

    If left out, SGD with the learning rates 3e-2, 1e-2 and 1e-1, or null if ``prune.recipe`` is given.
    """


class PruneSpec(Section):
    """Pruning by the axes score, distribution, schedule and granularity. The method fills in what is left out.

    >>> PruneSpec(method="greg1").schedule, PruneSpec().schedule
    ('growing', 'one_shot')
    """

    method: Name = "magnitude"
    """Name in the pruning methods registry."""
    score: Name = filled("magnitude")
    """Importance of a weight: ``magnitude``, ``gradient``, ``synflow``, ``lookahead`` or ``random``.

    If left out, the method decides.
    """
    distribution: Name = filled("global")
    """Distribution of the sparsity over layers: ``global``, ``erk``, ``lamp`` or ``uniform`` (SAFS as published).

    If left out, the method decides, then the preset.
    """
    schedule: Name = filled("one_shot")
    """Schedule of the removal: ``one_shot``, or during training: ``iterative``, ``cubic``, ``one_cycle``, ``cyclic``.

    If left out, the method decides.
    """
    granularity: Name = filled("weight")
    """Unit of removal: ``weight``, ``filter``, ``input_channel``, ``column``, ``row``, or n:m such as ``2:4``.

    If left out, the method decides.
    """
    epochs: int = filled(0, ge=0, le=10_000)
    """Epochs of training while pruning. If left out, 0 with the schedule ``one_shot``, else ``train.epochs``."""
    recipe: Recipe | None = filled(None)
    """Recipe of the training while pruning; null uses ``train``'s. If left out, the method decides."""
    options: FreeOptions = Field(default_factory=dict)
    """Options of the method and the schedule; ``GET /v1/catalog/methods`` lists them."""
    exclude: list[Name] = Field(default_factory=list, max_length=1000)
    """Patterns of module paths (``fnmatch``), such as ``fc`` or ``layer1.*``, of layers that stay dense.

    The sparsity of the network stays as it is; the other layers lose more.
    """
    sparsity_of: dict[Name, Annotated[float, Field(ge=0, lt=1)]] = Field(default_factory=dict, max_length=1000)
    """Sparsity of single layers: pattern of module paths -> fraction of the layer's weights that are zero."""
    search: PruneSearchSpec | None = filled(None)
    """Search for the best pruned start; null prunes as the other fields say. If left out, the preset decides."""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_method(cls, given: Any) -> Any:
        return fill_prune(given) if isinstance(given, dict) else given


class SearchSpec(Section):
    """A search: its strategy and its budget."""

    strategy: Name
    """Name in the strategies registry."""
    trials: Trials
    """Number of configurations that are tried. If left out, the preset decides."""
    epochs: Epochs
    """Epochs of a trial; with ``asha`` and ``hyperband``, of the longest trials. If left out, the preset decides."""
    portfolio: bool = filled(True, strict=True)
    """True to try points first that do well in very sparse networks. If left out, the preset decides."""
    options: FreeOptions = Field(default_factory=dict)
    """Options of the strategy; ``GET /v1/catalog/strategies`` lists them."""


class ActivationsSpec(SearchSpec):
    """Stage 1: the search for an operator at each site."""

    strategy: Name = "lahc"
    """Name in the strategies registry."""
    trials: Trials = filled(22)
    """Number of configurations that are tried. If left out, the preset decides."""
    epochs: Epochs = filled(8)
    """Epochs of a trial. If left out, the preset decides."""
    operators: Literal["all"] | list[Name] = "all"
    """Candidates at every site, beside the network's own activations. The joint search uses them too."""
    acon_start: AconStart = filled("swish")
    """Function that ``acon`` is before training. ``identity`` is published, and stays a multiple of the identity.

    If left out, the preset decides. The joint search uses it too.
    """
    scope: Literal["site", "block", "network"] = "site"
    """Sites that share an operator: none, those of a block, or all. The joint search uses it too."""


class TuneSpec(SearchSpec):
    """Stage 2: the search for fine-tuning hyperparameters, with alpha and beta learnable."""

    strategy: Name = "smac"
    """Name in the strategies registry."""
    trials: Trials = filled(20)
    """Number of configurations that are tried. If left out, the preset decides."""
    epochs: Epochs = filled(8)
    """Epochs of a trial; with ``asha`` and ``hyperband``, of the longest trials. If left out, the preset decides."""


class JointSpec(SearchSpec):
    """Both stages at once: operators and hyperparameters in one space, with alpha and beta learnable."""

    strategy: Name = "asha"
    """Name in the strategies registry."""
    trials: Trials = filled(20)
    """Number of configurations that are tried. If left out, the preset decides."""
    epochs: Epochs = filled(8)
    """Epochs of a trial; with ``asha`` and ``hyperband``, of the longest trials. If left out, the preset decides."""


class FinalCandidate(StrEnum):
    """The rows of the final comparison."""

    ONE_SHOT = "one_shot"
    """Default protocol from one-shot pruning, with the epochs of gradual pruning added, if the job prunes otherwise."""
    DEFAULT = "default"
    """Default protocol: the network's own activations, the dense recipe."""
    ACTIVATIONS = "activations"
    """Stage 1 alone: its operators, the dense recipe, alpha = beta = 1."""
    HYPERPARAMETERS = "hyperparameters"
    """Stage 2 alone: own activations, tuned recipe, learnable alpha and beta. Costs a second tuning search."""
    SAFS = "safs"
    """Both stages, one after the other."""
    JOINT = "joint"
    """The winner of the joint search."""


PUBLISHED = (
    FinalCandidate.DEFAULT,
    FinalCandidate.ACTIVATIONS,
    FinalCandidate.HYPERPARAMETERS,
    FinalCandidate.SAFS,
)
"""The comparison of the SAFS paper."""


class FinalSpec(Section):
    """The final trainings, which compete on the validation split; the best one is the result."""

    epochs: Epochs = filled(30)
    """Epochs of each final training. If left out, the preset decides."""
    repeats: int = Field(1, ge=1, le=20)
    """Seeds per candidate. The candidate with the best mean wins, and its best seed is the result."""
    candidates: list[FinalCandidate] = Field(default_factory=lambda: list(PUBLISHED), min_length=1)
    """Final candidates; the job runs the searches that they need. If left out, the preset decides."""

    @model_validator(mode="after")
    def _baseline_is_always_there(self) -> "FinalSpec":
        if FinalCandidate.DEFAULT not in self.candidates:
            raise ValueError("final.candidates must hold 'default': every report carries its own baseline")
        if len(set(self.candidates)) != len(self.candidates):
            raise ValueError("final.candidates names a candidate twice")
        return self


class DeploySpec(Section):
    """Measurements of the result in use, which the report has a section about."""

    formats: list[Format] = Field(["compact"], max_length=10)
    """Export formats whose size is measured, and whose outputs are compared with those of the result."""
    runtime: Runtime = "torch"
    """``sparse`` times the sparse runtime beside PyTorch on this machine's CPU; ``torch`` times nothing."""


class ResourcesSpec(Section):
    """Limits on what the job may use."""

    trials_in_parallel: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = "auto"
    """Trials in flight. The proposed candidates depend on this number, and on no other property of the machine."""
    gpus_per_trial: Annotated[float, Field(ge=0, le=1)] | Literal["auto"] = "auto"
    """GPUs per trial. A fraction packs several trials on one GPU; a training uses at most one."""
    time_limit_s: int | None = Field(None, ge=1, le=LONGEST_JOB_S)
    """Seconds from the first training after which the job fails, at most ten years; None means no limit."""
    dispatcher: Dispatcher = "actors"
    """Dispatcher of the searches: a pool of Ray actors, or Ray Tune. Both find the same trials; actors are faster."""
    precision: Precision = "float32"
    """Number format of the products in all trainings but the final ones, which always use float32. ``bfloat16`` halves
    the time of ordinary convolutional networks; it slows down networks with depthwise convolutions on a CPU."""


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
