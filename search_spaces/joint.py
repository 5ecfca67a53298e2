"""The space of both stages at once: which operator at which group of sites, and how the network is fine-tuned."""

from collections.abc import Mapping, Sequence

from ConfigSpace import ConfigurationSpace

from safs.spec.job import TrainSpec
from search_spaces.activations import OPERATOR_OF, operator_choices
from search_spaces.fine_tuning import add_fine_tuning

JOINT = "joint"
"""Name of the space."""


def joint_space(
    own: Mapping[str, str] | Sequence[str], operators: Sequence[str], train: TrainSpec, epochs: int, seed: int
) -> ConfigurationSpace:
    """The activation space and the fine-tuning space side by side; the default is that of both.

    A group's categorical is named ``operator:<group>``, so that no group can have a hyperparameter's name. A point of
    this space is read by ``operators_from`` and ``recipe_from``. No condition ties one half to the other.
    """
    space = ConfigurationSpace(name=JOINT, seed=seed)
    space.add(operator_choices(own, operators, prefix=OPERATOR_OF))
    add_fine_tuning(space, train, epochs)
    return space
