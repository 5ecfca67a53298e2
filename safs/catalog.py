"""The catalog: the entries of all registries, each with a summary."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from safs.activations.operators import OPERATORS
from safs.data import DATASETS
from safs.models import MODELS, known_architectures
from safs.pruning.axes.distributions import DISTRIBUTIONS
from safs.pruning.axes.granularity import GRANULARITIES
from safs.pruning.axes.schedules import PRUNING_SCHEDULES
from safs.pruning.axes.scores import SCORES
from safs.pruning.pruners import PRUNERS
from safs.registry import Registry
from safs.search import STRATEGIES
from safs.spec.options import described
from safs.spec.presets import PRESET_SUMMARIES, PRESETS, sections_of
from safs.spec.pruning import PruneSpec
from safs.training.learning_rate_schedules import SCHEDULES
from safs.training.optimizers import OPTIMIZERS


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A name that a job can use."""

    name: str
    summary: str
    details: Mapping[str, Any] = field(default_factory=dict)
    """Further facts, depending on the kind: an operator's formula, a strategy's stages ..."""


def catalog() -> dict[str, list[CatalogEntry]]:
    """Kind -> entries, in the order in which the catalog shows them."""
    return {kind: entries() for kind, entries in _KINDS.items()}


def _models() -> list[CatalogEntry]:
    own = [CatalogEntry(name, entry.summary) for name, entry in MODELS.items()]
    others = [name for name in known_architectures() if name not in MODELS]
    return own + [
        CatalogEntry(name, f"{name.partition('/')[2]} as {name.partition('/')[0]} builds it") for name in others
    ]


def _operators() -> list[CatalogEntry]:
    return [
        CatalogEntry(name, operator.summary, {"formula": operator.formula, "scalars": list(operator.scalars)})
        for name, operator in OPERATORS.items()
    ]


def _methods() -> list[CatalogEntry]:
    return [
        CatalogEntry(
            name,
            pruner.summary,
            {
                "defaults": PruneSpec(method=name).model_dump(mode="json", include=_METHOD_DEFAULTS),
                "options": dict(pruner.options),
                "source": pruner.source,
                "from_scratch": pruner.from_scratch,
            },
        )
        for name, pruner in PRUNERS.items()
    ]


def _pruning_schedules() -> list[CatalogEntry]:
    return [
        CatalogEntry(name, entry.summary, {"options": described(entry.options), "source": entry.source})
        for name, entry in PRUNING_SCHEDULES.items()
    ]


def _granularities() -> list[CatalogEntry]:
    pattern = CatalogEntry("<n>:<m>", "n of every m consecutive input channels are kept, such as 2:4")
    return [*_summaries(GRANULARITIES)(), pattern]


def _strategies() -> list[CatalogEntry]:
    return [
        CatalogEntry(
            name,
            entry.summary,
            {
                "stages": list(entry.stages),
                "options": described(entry.options),
                "multi_fidelity": entry.multi_fidelity,
                "source": entry.source,
            },
        )
        for name, entry in STRATEGIES.items()
    ]


def _presets() -> list[CatalogEntry]:
    return [CatalogEntry(name, PRESET_SUMMARIES[name], sections_of(name)) for name in PRESETS]


def _summaries(registry: Registry[Any]) -> Callable[[], list[CatalogEntry]]:
    return lambda: [CatalogEntry(name, entry.summary) for name, entry in registry.items()]


_METHOD_DEFAULTS = {"score", "distribution", "schedule", "granularity", "recipe"}
"""Fields that the method decides alone. ``epochs`` depends on the job too."""

_KINDS: dict[str, Callable[[], list[CatalogEntry]]] = {
    "models": _models,
    "datasets": _summaries(DATASETS),
    "operators": _operators,
    "methods": _methods,
    "scores": _summaries(SCORES),
    "distributions": _summaries(DISTRIBUTIONS),
    "pruning_schedules": _pruning_schedules,
    "granularities": _granularities,
    "strategies": _strategies,
    "optimizers": _summaries(OPTIMIZERS),
    "schedules": _summaries(SCHEDULES),
    "presets": _presets,
}
