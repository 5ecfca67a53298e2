"""The interface of search spaces. The package ``search_spaces``, above this one, implements it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from safs.spec.training import Recipe, TrainSpec
from safs.trials import Config

if TYPE_CHECKING:  # ConfigSpace imports scipy, which is slow.
    from ConfigSpace import ConfigurationSpace

OwnOperators: TypeAlias = Mapping[str, str] | Sequence[str]
"""Group of sites -> the network's own operator there; a list of groups stands for the first operator everywhere."""


@dataclass(frozen=True, slots=True)
class Spaces:
    """The search spaces of a job, and conversions between their points and what the points mean."""

    starts: Callable[[Sequence[str], int], "ConfigurationSpace"]
    """(names of pruned starts, seed) -> one categorical, ``start``, whose default is the first name."""
    activations: Callable[[OwnOperators, Sequence[str], int], "ConfigurationSpace"]
    """(own operators, operators, seed) -> one categorical per group."""
    fine_tuning: Callable[[TrainSpec, int], "ConfigurationSpace"]
    """(default protocol, seed) -> optimizer, its hyperparameters, schedule."""
    joint: Callable[[OwnOperators, Sequence[str], TrainSpec, int], "ConfigurationSpace"]
    """(own operators, operators, default protocol, seed) -> both spaces in one."""
    operators_from: Callable[[Config], dict[str, str]]
    """Point of the activation space or the joint space -> group -> operator."""
    recipe_from: Callable[[Config, TrainSpec], Recipe]
    """(point of the fine-tuning space or the joint space, default protocol) -> recipe."""
    config_from: Callable[["ConfigurationSpace", TrainSpec, Mapping[str, str] | None, Recipe | None], Config | None]
    """(space, default protocol, group -> operator, recipe) -> the point for both; None if the space has none."""
    firsts: Callable[["ConfigurationSpace", TrainSpec], Sequence[Config]]
    """(space, default protocol) -> points that a search tries first; the space's default is the first of them."""
