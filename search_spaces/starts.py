"""The space of pruned starts."""

from collections.abc import Sequence

from ConfigSpace import CategoricalHyperparameter, ConfigurationSpace

START = "start"
"""Name of the space and of its only hyperparameter."""


def start_space(starts: Sequence[str], seed: int) -> ConfigurationSpace:
    """The space with one categorical, whose choices are the names of pruned starts and whose default is the first."""
    space = ConfigurationSpace(name=START, seed=seed)
    space.add(CategoricalHyperparameter(START, starts, default_value=starts[0]))
    return space
