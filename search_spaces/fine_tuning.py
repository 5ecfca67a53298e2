"""The space of stage 2: how the sparse network is fine-tuned."""

from ConfigSpace import (
    CategoricalHyperparameter,
    ConfigurationSpace,
    EqualsCondition,
    UniformFloatHyperparameter,
)

from safs.spec import Recipe, TrainSpec
from safs.trials import Config

OPTIMIZER_DEFAULT_RATES = {"sgd": 1e-2, "adam": 1e-3, "adamw": 1e-3, "nadam": 1e-3}
"""Optimizers to choose from, and the learning rate that each starts from unless the job's recipe says another."""
SCHEDULES = ("constant", "cosine", "cosine_restarts", "step", "halving", "linear", "plateau", "one_cycle")
LEARNING_RATES = (1e-4, 1e-1)
WEIGHT_DECAYS = (1e-6, 1e-1)
MOMENTA = (0.1, 0.999)


def fine_tuning_space(train: TrainSpec, epochs: int, seed: int) -> ConfigurationSpace:
    """Optimizer, its learning rate, SGD's momentum, weight decay and schedule; the default is ``train``'s own recipe.

    Active always: ``optimizer``, ``weight_decay``, ``schedule``. Active with its optimizer only: ``learning_rate_<optimizer>``,
    ``momentum`` (SGD). A value of ``train`` outside its range becomes the nearest one inside it: no weight decay is
    searched as 1e-6, which over a fine-tuning changes weights by less than their rounding.

    After Loni et al. (2023), arXiv:2305.10964, with three departures:

    - Weight decay is drawn log-uniformly from [1e-6, 1e-1]; there uniformly from [1e-5, 1e-1], so that nine draws in ten are
      above 1e-2, which destroys the sparse network whatever else is chosen.
    - Every optimizer may have every schedule; there only SGD has one. In our measurements the best recipe for a network
      at 99% sparsity is Adam with one cycle up to 3e-2.
    - AdamW and NAdam stand for TAdam and Fromage, which no well-kept library supplies.
    """
    rates = OPTIMIZER_DEFAULT_RATES | {train.optimizer: train.learning_rate}
    space = ConfigurationSpace(name="fine_tuning", seed=seed)
    optimizer = CategoricalHyperparameter("optimizer", list(OPTIMIZER_DEFAULT_RATES), default_value=train.optimizer)
    momentum = _float("momentum", MOMENTA, train.momentum, log=False)
    space.add(
        optimizer,
        CategoricalHyperparameter("schedule", SCHEDULES, default_value=train.schedule),
        _float("weight_decay", WEIGHT_DECAYS, train.weight_decay),
        momentum,
        EqualsCondition(momentum, optimizer, "sgd"),
    )
    for name in OPTIMIZER_DEFAULT_RATES:
        rate = _float(_rate_of(name), LEARNING_RATES, rates[name])
        space.add(rate, EqualsCondition(rate, optimizer, name))
    return space


def recipe_from(config: Config, train: TrainSpec) -> Recipe:
    """The recipe that a point of the fine-tuning space stands for; momentum is ``train``'s where the optimizer has none."""
    optimizer = str(config["optimizer"])
    return Recipe(
        optimizer=optimizer,
        learning_rate=float(config[_rate_of(optimizer)]),
        weight_decay=float(config["weight_decay"]),
        momentum=float(config.get("momentum", train.momentum)),
        schedule=str(config["schedule"]),
    )


def _rate_of(optimizer: str) -> str:
    return f"learning_rate_{optimizer}"


def _float(name: str, limits: tuple[float, float], default: float, *, log: bool = True) -> UniformFloatHyperparameter:
    lower, upper = limits
    return UniformFloatHyperparameter(name, lower, upper, default_value=min(max(default, lower), upper), log=log)
