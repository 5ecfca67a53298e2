"""The sections ``activations``, ``tune`` and ``joint`` of a job spec: strategies and budgets of the searches."""

from typing import Literal

from pydantic import Field

from safs.spec.fields import Epochs, FreeOptions, Name, Section, Trials, filled

AconStart = Literal["swish", "identity"]


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
