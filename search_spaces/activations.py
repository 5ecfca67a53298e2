"""The space of stage 1: one operator per group of sites."""

from collections.abc import Mapping, Sequence

from ConfigSpace import CategoricalHyperparameter, ConfigurationSpace

from safs.trials import Config

ACTIVATIONS = "activations"
"""Name of the space."""
OPERATOR_OF = "operator:"
"""Prefix of a group's name in a space that has hyperparameters too. No module path begins with it."""


def activation_space(own: Mapping[str, str] | Sequence[str], operators: Sequence[str], seed: int) -> ConfigurationSpace:
    """The space with one categorical per group of sites, named like the group, with the same choices everywhere.

    A config of this space maps group -> operator. Group names may contain dots (``layer1.0.relu``), which have no
    special meaning in ConfigSpace. Groups are in alphabetical order. The default is the network's own operator at each
    group.

    Args:
        own: group -> the network's own operator there, one of ``operators``. For a list of groups, the default is the
            first operator at each of them.
        operators: names of operators, at least one, without duplicates.
    """
    space = ConfigurationSpace(name=ACTIVATIONS, seed=seed)
    space.add(operator_choices(own, operators))
    return space


def operator_choices(
    own: Mapping[str, str] | Sequence[str], operators: Sequence[str], *, prefix: str = ""
) -> list[CategoricalHyperparameter]:
    """One categorical per group, named ``prefix`` + group; see ``activation_space``."""
    defaults = own if isinstance(own, Mapping) else dict.fromkeys(own, operators[0])
    return [
        CategoricalHyperparameter(f"{prefix}{group}", operators, default_value=operator)
        for group, operator in defaults.items()
    ]


def operators_from(config: Config) -> dict[str, str]:
    """Group -> operator, from a point of the activation space or of the joint space."""
    joint = {
        name.removeprefix(OPERATOR_OF): str(operator)
        for name, operator in config.items()
        if name.startswith(OPERATOR_OF)
    }
    return joint or {group: str(operator) for group, operator in config.items()}
