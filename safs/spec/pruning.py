"""The section ``prune`` of a job spec: the pruning method, its axes, and the search for a pruned start."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from safs.spec.fields import Epochs, FreeOptions, Name, Section, filled
from safs.spec.presets import fill_prune
from safs.spec.training import Recipe


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
    keep_zeros: bool = Field(False, strict=True)
    """True if weights that are zero in the given file stay zero, and pruning goes on from there."""
    search: PruneSearchSpec | None = filled(None)
    """Search for the best pruned start; null prunes as the other fields say. If left out, the preset decides."""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_method(cls, given: Any) -> Any:
        return fill_prune(given) if isinstance(given, dict) else given
