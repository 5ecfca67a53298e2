"""The space of stage 1: which operator at which site."""

from collections.abc import Sequence

from ConfigSpace import CategoricalHyperparameter, ConfigurationSpace


def activation_space(sites: Sequence[str], operators: Sequence[str], seed: int) -> ConfigurationSpace:
    """One categorical a site, named by the site's path, with the same choices everywhere (scope ``site``).

    A config of this space is an assignment as it is: site -> operator. Paths hold dots (``layer1.0.relu``), which
    ConfigSpace takes literally; it lists the sites by name. The default is the first operator at every site: one of
    the network's own activations, in the order of ``candidate_operators``.

    Args:
        sites: unique paths of the call sites.
        operators: names, at least one, none twice.
    """
    space = ConfigurationSpace(name="activations", seed=seed)
    space.add([CategoricalHyperparameter(site, operators, default_value=operators[0]) for site in sites])
    return space
