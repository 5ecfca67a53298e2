"""What the pipeline asks of search spaces, which are built on top of this package (``search_spaces``)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from safs.spec.job import Recipe, TrainSpec
from safs.trials import Config

if TYPE_CHECKING:  # ConfigSpace imports scipy; whoever makes a space has imported it.
    from ConfigSpace import ConfigurationSpace

Own: TypeAlias = Mapping[str, str] | Sequence[str]
"""Group of sites -> the network's own operator there (``Preflight.own``); of a mere list, the first operator's name."""


@dataclass(frozen=True, slots=True)
class Spaces:
    """The search spaces of a job, and how their points are read and made."""

    activations: Callable[[Own, Sequence[str], int], "ConfigurationSpace"]
    """(own, operators, seed) -> one categorical a group."""
    fine_tuning: Callable[[TrainSpec, int, int], "ConfigurationSpace"]
    """(default protocol, epochs, seed) -> optimizer, its numbers, schedule."""
    joint: Callable[[Own, Sequence[str], TrainSpec, int, int], "ConfigurationSpace"]
    """(own, operators, default protocol, epochs, seed) -> both side by side."""
    operators_from: Callable[[Config], dict[str, str]]
    """Group -> operator, of a point of the activation space or of the joint one."""
    recipe_from: Callable[[Config, TrainSpec], Recipe]
    """The recipe of a point of the fine-tuning space or of the joint one."""
    config_from: Callable[["ConfigurationSpace", TrainSpec, Mapping[str, str] | None, Recipe | None], Config | None]
    """(space, default protocol, group -> operator, recipe) -> the point for both; None where the space has none."""
    firsts: Callable[["ConfigurationSpace", TrainSpec], Sequence[Config]]
    """(space, default protocol) -> points that a search should try first, the space's default before all."""
