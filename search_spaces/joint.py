"""The space of both stages at once: one operator per group of sites, and the recipe of fine-tuning."""

from collections.abc import Mapping, Sequence

from ConfigSpace import ConfigurationSpace

from safs.spec.training import TrainSpec
from search_spaces.activations import OPERATOR_OF, operator_choices
from search_spaces.fine_tuning import add_fine_tuning

JOINT = "joint"
"""Name of the space."""


def joint_space(
    own: Mapping[str, str] | Sequence[str], operators: Sequence[str], train: TrainSpec, seed: int
) -> ConfigurationSpace:
    """The union of the activation space and the fine-tuning space, with the defaults of both.

    A group's categorical is named ``operator:<group>``, so that it cannot have the name of a hyperparameter.
    ``operators_from`` and ``recipe_from`` read the points of this space. No condition connects the two parts.
    """
    space = ConfigurationSpace(name=JOINT, seed=seed)
    space.add(operator_choices(own, operators, prefix=OPERATOR_OF))
    add_fine_tuning(space, train)
    return space
