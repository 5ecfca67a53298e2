"""The space of stage 1: which operator at which group of sites."""

from collections.abc import Mapping, Sequence

from ConfigSpace import CategoricalHyperparameter, ConfigurationSpace

from safs.trials import Config

ACTIVATIONS = "activations"
"""Name of the space."""
OPERATOR_OF = "operator:"
"""Stands before a group's name where a space holds hyperparameters too. No path of a module begins so."""


def activation_space(own: Mapping[str, str] | Sequence[str], operators: Sequence[str], seed: int) -> ConfigurationSpace:
    """One categorical a group of sites, named like the group, with the same choices everywhere.

    A config of this space maps group -> operator. Paths hold dots (``layer1.0.relu``), which ConfigSpace takes
    literally; it lists the groups by name. The default is the network itself: at every group its own operator.

    Args:
        own: group -> the network's own operator there, one of ``operators``; of a mere list of groups, the default is
            the first operator everywhere.
        operators: names, at least one, none twice.
    """
    space = ConfigurationSpace(name=ACTIVATIONS, seed=seed)
    space.add(operator_choices(own, operators))
    return space


def operator_choices(
    own: Mapping[str, str] | Sequence[str], operators: Sequence[str], *, prefix: str = ""
) -> list[CategoricalHyperparameter]:
    """One categorical a group, of the group's name after ``prefix``; see ``activation_space``."""
    defaults = own if isinstance(own, Mapping) else dict.fromkeys(own, operators[0])
    return [
        CategoricalHyperparameter(f"{prefix}{group}", operators, default_value=operator)
        for group, operator in defaults.items()
    ]


def operators_from(config: Config) -> dict[str, str]:
    """Group -> operator, of a point of the activation space or of the joint space."""
    joint = {
        name.removeprefix(OPERATOR_OF): str(operator)
        for name, operator in config.items()
        if name.startswith(OPERATOR_OF)
    }
    return joint or {group: str(operator) for group, operator in config.items()}
