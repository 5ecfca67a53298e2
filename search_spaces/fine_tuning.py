"""The space of stage 2: how the sparse network is fine-tuned."""

from ConfigSpace import CategoricalHyperparameter, ConfigurationSpace, EqualsCondition, UniformFloatHyperparameter

from safs.spec.job import Recipe, TrainSpec
from safs.training.learning_rate_schedules import SCHEDULES
from safs.training.optimizers import OPTIMIZERS
from safs.trials import Config

LEARNING_RATES = (1e-4, 1e-1)
WEIGHT_DECAYS = (1e-6, 1e-1)
MOMENTA = (0.1, 0.999)

FINE_TUNING = "fine_tuning"
"""Name of the space."""

_USUAL_RATES = {"sgd": 1e-2}
_USUAL_RATE = 1e-3  # of the Adam family
_EPOCHS_BEFORE_HALVING = 20


def fine_tuning_space(train: TrainSpec, epochs: int, seed: int) -> ConfigurationSpace:
    """Optimizer, its learning rate, SGD's momentum, weight decay and schedule; the default is ``train``'s own recipe.

    Always active: ``optimizer``, ``weight_decay``, ``schedule``. Active with their optimizer: one
    ``learning_rate_<optimizer>`` each, and ``momentum`` (SGD). Where ``train`` has a value outside its range, the
    nearest end stands for it: without weight decay the default has 1e-6, which ``recipe_from`` then reads as 0.

    After Loni et al. (2023), arXiv:2305.10964, with these departures:

    - Weight decay is drawn log-uniformly from [1e-6, 1e-1]. There it is uniform on [1e-5, 1e-1]: nine draws in ten are
      above 1e-2, and most of them destroy a sparse network whatever else is drawn.
    - Every optimizer may have every schedule. There only SGD has one, yet one cycle of Adam up to 3e-2 was the best
      recipe that we measured for a network at 99% sparsity.
    - ``OPTIMIZERS`` says which optimizers stand for TAdam and Fromage, and why.
    - ``multistep`` and Nesterov momentum are not searched: a trial has them only if ``train`` has.
    - ``halving`` is left out where trials end before it first acts: it would be ``constant`` under another name.

    Args:
        train: its optimizer and its schedule are registry names.
        epochs: of each trial.
    """
    space = ConfigurationSpace(name=FINE_TUNING, seed=seed)
    add_fine_tuning(space, train, epochs)
    return space


def add_fine_tuning(space: ConfigurationSpace, train: TrainSpec, epochs: int) -> None:
    """Adds the hyperparameters of ``fine_tuning_space`` to ``space``."""
    optimizer = CategoricalHyperparameter("optimizer", list(OPTIMIZERS), default_value=train.optimizer)
    momentum = _float("momentum", MOMENTA, train.momentum, log=False)
    space.add(
        optimizer,
        CategoricalHyperparameter("schedule", _schedules(train, epochs), default_value=train.schedule),
        _float("weight_decay", WEIGHT_DECAYS, train.weight_decay),
        momentum,
        EqualsCondition(momentum, optimizer, "sgd"),
    )
    for name in OPTIMIZERS:
        usual = train.learning_rate if name == train.optimizer else _USUAL_RATES.get(name, _USUAL_RATE)
        rate = _float(_rate_of(name), LEARNING_RATES, usual)
        space.add(rate, EqualsCondition(rate, optimizer, name))


def recipe_from(config: Config, train: TrainSpec) -> Recipe:
    """The recipe that a point of ``fine_tuning_space(train, ...)`` stands for; the default's is ``train``'s own.

    It reads points of the joint space too. Momentum is ``train``'s where the optimizer has none.
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
    """The hyperparameters that stand for ``recipe``: what ``recipe_from`` reads, up to the ends of their ranges."""
    values: Config = {
        "optimizer": recipe.optimizer,
        "schedule": recipe.schedule,
        "weight_decay": _clip(recipe.weight_decay, WEIGHT_DECAYS),
        _rate_of(recipe.optimizer): _clip(recipe.learning_rate, LEARNING_RATES),
    }
    if recipe.optimizer == "sgd":
        values["momentum"] = _clip(recipe.momentum, MOMENTA)
    return values


def _schedules(train: TrainSpec, epochs: int) -> list[str]:
    left_out = {"multistep"} | ({"halving"} if epochs <= _EPOCHS_BEFORE_HALVING else set())
    return [name for name in SCHEDULES if name not in left_out or name == train.schedule]


def _rate_of(optimizer: str) -> str:
    return f"learning_rate_{optimizer}"


def _float(name: str, limits: tuple[float, float], default: float, *, log: bool = True) -> UniformFloatHyperparameter:
    return UniformFloatHyperparameter(name, *limits, default_value=_clip(default, limits), log=log)


def _clip(value: float, limits: tuple[float, float]) -> float:
    lower, upper = limits
    return min(max(value, lower), upper)


def _unclip(value: float, limits: tuple[float, float], own: float) -> float:
    """``own`` if ``value`` is the end of the range that stands for it, else ``value``."""
    return own if value == _clip(own, limits) else value
