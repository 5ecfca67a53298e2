"""Points that a search tries first: the space's default, earlier winners, and a portfolio."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ConfigSpace import Configuration, ConfigurationSpace
from ConfigSpace.exceptions import IllegalValueError

from safs.search.strategy import plain_config
from safs.spec.training import Recipe, TrainSpec
from safs.trials import Config
from search_spaces.activations import ACTIVATIONS, OPERATOR_OF, operators_from
from search_spaces.fine_tuning import FINE_TUNING, recipe_from, values_of
from search_spaces.joint import JOINT

GATES = ("sigmoid", "hardsigmoid")
"""Activations that gate channels by numbers in [0, 1] (squeeze-and-excitation). The portfolio keeps them."""


@dataclass(frozen=True, slots=True)
class Known:
    """An entry of the portfolio."""

    operator: str | None
    """Operator at every site that is not a gate; None keeps the network's own."""
    fast: bool
    """True for one cycle of Adam up to 3e-2; False for the default protocol's recipe."""


PORTFOLIO = {
    ACTIVATIONS: (Known("identity", False), Known("elu", False), Known("swish", False)),
    FINE_TUNING: (Known(None, True),),
    JOINT: (Known("identity", True), Known(None, True), Known("swish", True)),
}
"""Space -> entries that do well in very sparse networks, in the order in which they are tried.

They are the best by validation accuracy of LeNet-5 on digits at 99% sparsity, from one-shot or gradual pruning
(``python -m benchmarks.portfolio``, docs/decisions/043). Identity leads after one-shot pruning, swish after gradual
pruning, and one cycle of Adam up to 3e-2 leads the default protocol with every operator and after both.
"""


def config_from(
    space: ConfigurationSpace,
    train: TrainSpec,
    operators: Mapping[str, str] | None = None,
    recipe: Recipe | None = None,
) -> Config | None:
    """The point of ``space`` with these operators and this recipe; None if the space has no such point.

    It is the inverse of ``operators_from`` and ``recipe_from``. A number outside its range becomes the nearest end. The
    space has no such point if it lacks one of the operators, the optimizer or the schedule.

    Args:
        space: activation space, fine-tuning space or joint space.
        train: the default protocol that the space was built with. Its recipe replaces a missing ``recipe``.
        operators: group -> operator; other groups keep the network's own. Every group must be in the space, unless it
            is the fine-tuning space, which has none.
    """
    own = plain_config(space.get_default_configuration())
    values: Config = {}
    if space.name != FINE_TUNING:
        prefix = "" if space.name == ACTIVATIONS else OPERATOR_OF
        values |= {f"{prefix}{group}": name for group, name in (operators_from(own) | dict(operators or {})).items()}
        assert values.keys() <= set(space), f"{space.name} has no group {sorted(values.keys() - set(space))}"
    if space.name != ACTIVATIONS:
        values |= values_of(recipe or recipe_from(own, train))
        if values.keys() - set(space):  # The space has no learning rate for this optimizer.
            return None
    try:
        return plain_config(Configuration(space, values=values))
    except IllegalValueError:
        return None


def firsts(space: ConfigurationSpace, train: TrainSpec) -> list[Config]:
    """The points that a search of ``space`` tries first: its default, then the entries of the portfolio that fit it.

    There are at most four points, without duplicates. The default has the network's own operators and ``train``'s
    recipe, as far as the space has operators and recipes.
    """
    default = plain_config(space.get_default_configuration())
    own = {} if space.name == FINE_TUNING else operators_from(default)
    fast = Recipe(optimizer="adam", learning_rate=3e-2, weight_decay=train.weight_decay, schedule="one_cycle")
    known = (
        config_from(space, train, _everywhere(entry.operator, own), fast if entry.fast else None)
        for entry in PORTFOLIO[str(space.name)]
    )
    return _distinct([default, *(config for config in known if config is not None)])


def _everywhere(operator: str | None, own: Mapping[str, str]) -> dict[str, str]:
    return {group: mine if operator is None or mine in GATES else operator for group, mine in own.items()}


def _distinct(configs: Iterable[Config]) -> list[Config]:
    found: list[Config] = []
    for config in configs:
        if config not in found:
            found.append(config)
    return found
