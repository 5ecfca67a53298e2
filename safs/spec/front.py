"""A front: several sparsities in one job, and the epochs of the pruning that passes them."""

from collections.abc import Sequence
from math import ceil
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from safs.spec.pruning import PruneSpec

BISECTIONS = 3
"""Sparsities that a job with ``accuracy_floor`` adds to its front."""
DEFAULT_DROP = 0.01
"""Validation accuracy that the recommended point may lose against the dense network, if the job does not say."""
PASSES = frozenset({"magnitude", "gradient", "synflow", "lookahead", "lamp", "random"})
"""Pruning methods that can go on from a network that they have pruned already."""


def _ascending(sparsities: list[float]) -> list[float]:
    if len(set(sparsities)) != len(sparsities):
        raise ValueError("the list names a sparsity twice")
    return sorted(sparsities)


Sparsities = Annotated[
    list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=20), AfterValidator(_ascending)
]
"""The sparsities of a front, in ascending order."""


class _Listed(BaseModel):
    """Checks a list that is given as ``sparsity``, so that its errors name that field."""

    model_config = ConfigDict(strict=True)

    sparsity: Sparsities


def with_front(given: dict[str, Any]) -> dict[str, Any]:
    """``given`` with a list under ``sparsity`` as ``front``, and its highest entry as ``sparsity``.

    Raises:
        ValidationError: the list is not a front.

    >>> with_front({"sparsity": [0.9, 0.99, 0.95]})
    {'sparsity': 0.99, 'front': [0.9, 0.95, 0.99]}
    """
    if not isinstance(given.get("sparsity"), list):
        return given
    front = _Listed(sparsity=given["sparsity"]).sparsity
    return given | {"sparsity": front[-1], "front": front}


def passes_sparsities(prune: PruneSpec) -> bool:
    """True if one gradual pruning passes the sparsities of a front; otherwise each is pruned from the dense network.

    >>> [passes_sparsities(PruneSpec(schedule=name)) for name in ("cubic", "one_shot")]
    [True, False]
    """
    return prune.method in PASSES and prune.schedule in ("cubic", "one_cycle") and prune.granularity != "filter"


def pruning_epochs(prune: PruneSpec, sparsities: Sequence[float]) -> list[int]:
    """Epochs of the pruning to each sparsity of a front, from the one before it, or from the dense network.

    The first has ``prune.epochs``, and each one after it a quarter of that.

    >>> pruning_epochs(PruneSpec(schedule="cubic", epochs=6), [0.9, 0.95, 0.99])
    [6, 2, 2]
    """
    more = ceil(prune.epochs / 4) if passes_sparsities(prune) else prune.epochs
    return [prune.epochs] + [more] * (len(sparsities) - 1)
