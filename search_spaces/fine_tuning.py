"""The space of stage 2: the recipe that fine-tunes the sparse network."""

from ConfigSpace import CategoricalHyperparameter, ConfigurationSpace, EqualsCondition, UniformFloatHyperparameter

from safs.spec.training import Recipe, TrainSpec
from safs.training.learning_rate_schedules import SCHEDULES
from safs.training.optimizers import OPTIMIZERS
from safs.trials import Config

LEARNING_RATES = (1e-4, 1e-1)
WEIGHT_DECAYS = (1e-6, 1e-1)
MOMENTA = (0.1, 0.999)
NOT_SEARCHED = frozenset({"multistep", "warm_up"})
"""Schedules of published recipes: a trial has them only if ``train`` has."""

FINE_TUNING = "fine_tuning"
"""Name of the space."""

_USUAL_RATES = {"sgd": 1e-2}
_USUAL_RATE = 1e-3  # of the Adam family


def fine_tuning_space(train: TrainSpec, seed: int) -> ConfigurationSpace:
    """The space of recipes: optimizer, learning rate, SGD's momentum, weight decay and schedule.

    ``optimizer``, ``weight_decay`` and ``schedule`` are always active. ``learning_rate_<optimizer>``, and ``momentum``
    for SGD, are active with their optimizer. The default is ``train``'s own recipe. A value of ``train`` outside its
    range is represented by the nearest end: a weight decay of 0 by 1e-6, which ``recipe_from`` then reads as 0.

    After Loni et al. (2023), arXiv:2305.10964, with these departures:

    - Weight decay is log-uniform on [1e-6, 1e-1]. In the paper it is uniform on [1e-5, 1e-1], so nine draws in ten are
      above 1e-2, and most of these destroy a sparse network.
    - Every optimizer may have every schedule. In the paper only SGD has one, but one cycle of Adam up to 3e-2 was the
      best recipe that we measured for a network at 99% sparsity.
    - ``OPTIMIZERS`` names the optimizers that replace TAdam and Fromage, with the reasons.
    - ``NOT_SEARCHED`` and Nesterov momentum are not searched: a trial has them only if ``train`` has.

    Args:
        train: default protocol. Its optimizer and its schedule are registry names.
    """
    space = ConfigurationSpace(name=FINE_TUNING, seed=seed)
    add_fine_tuning(space, train)
    return space


def add_fine_tuning(space: ConfigurationSpace, train: TrainSpec) -> None:
    """Add the hyperparameters of ``fine_tuning_space`` to ``space``."""
    optimizer = CategoricalHyperparameter("optimizer", list(OPTIMIZERS), default_value=train.optimizer)
    momentum = _float("momentum", MOMENTA, train.momentum, log=False)
    space.add(
        optimizer,
        CategoricalHyperparameter("schedule", _schedules(train), default_value=train.schedule),
        _float("weight_decay", WEIGHT_DECAYS, train.weight_decay),
        momentum,
        EqualsCondition(momentum, optimizer, "sgd"),
    )
    for name in OPTIMIZERS:
        usual = train.learning_rate if name == train.optimizer else _USUAL_RATES.get(name, _USUAL_RATE)
        rate = _float(_rate_of(name), LEARNING_RATES, usual)
        space.add(rate, EqualsCondition(rate, optimizer, name))


def recipe_from(config: Config, train: TrainSpec) -> Recipe:
    """The recipe of a point of ``fine_tuning_space(train, ...)`` or of the joint space.

    The default point gives ``train``'s own recipe. If the optimizer has no momentum, the recipe has ``train``'s.
    """
    optimizer = str(config["optimizer"])
    rate = float(config[_rate_of(optimizer)])
    return Recipe(
        optimizer=optimizer,
        learning_rate=_unclip(rate, LEARNING_RATES, train.learning_rate) if optimizer == train.optimizer else rate,
        weight_decay=_unclip(float(config["weight_decay"]), WEIGHT_DECAYS, train.weight_decay),
        momentum=_unclip(float(config.get("momentum", train.momentum)), MOMENTA, train.momentum),
        nesterov=train.nesterov,
        schedule=str(config["schedule"]),
    )


def values_of(recipe: Recipe) -> Config:
    """The hyperparameters of ``recipe``, as ``recipe_from`` reads them; values out of range become the nearest end."""
    values: Config = {
        "optimizer": recipe.optimizer,
        "schedule": recipe.schedule,
        "weight_decay": _clip(recipe.weight_decay, WEIGHT_DECAYS),
        _rate_of(recipe.optimizer): _clip(recipe.learning_rate, LEARNING_RATES),
    }
    if recipe.optimizer == "sgd":
        values["momentum"] = _clip(recipe.momentum, MOMENTA)
    return values


def _schedules(train: TrainSpec) -> list[str]:
    return [name for name in SCHEDULES if name not in NOT_SEARCHED or name == train.schedule]


def _rate_of(optimizer: str) -> str:
    return f"learning_rate_{optimizer}"


def _float(name: str, limits: tuple[float, float], default: float, *, log: bool = True) -> UniformFloatHyperparameter:
    return UniformFloatHyperparameter(name, *limits, default_value=_clip(default, limits), log=log)


def _clip(value: float, limits: tuple[float, float]) -> float:
    lower, upper = limits
    return min(max(value, lower), upper)


def _unclip(value: float, limits: tuple[float, float], own: float) -> float:
    """``own`` if ``value`` is the end of the range that represents it, else ``value``."""
    return own if value == _clip(own, limits) else value
