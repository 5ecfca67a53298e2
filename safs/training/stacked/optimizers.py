"""The optimizers of ``safs.training.optimizers`` over the rows of a stack, each row with its own constants.

Everything that a step reads or changes is a tensor, without a branch on its values, so that a GPU can capture a step.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from safs.spec.training import Recipe

BETA1, BETA2, EPS, MOMENTUM_DECAY = 0.9, 0.999, 1e-8, 4e-3
"""Constants of torch's Adam, AdamW and NAdam."""


@dataclass(frozen=True, slots=True)
class Constants:
    """Constants of the rows of one optimizer, [rows, 1], float32."""

    weight_decay: Tensor
    momentum: Tensor
    nesterov: Tensor
    """1 or 0."""

    def on(self, device: torch.device) -> "Constants":
        """The same constants on ``device``."""
        return Constants(self.weight_decay.to(device), self.momentum.to(device), self.nesterov.to(device))


State: TypeAlias = dict[str, Tensor]
"""Name in the state of torch's optimizer -> value: [rows, P] of a weight, [rows, 1] of a row."""
Rule: TypeAlias = Callable[[Tensor, Tensor, Tensor, Tensor, State, Constants], None]
"""(weights [rows, P], gradients, learning rates [rows, 1], decayed [P], state, constants): one step, in place."""


@dataclass(frozen=True, slots=True)
class StackedOptimizer:
    """The rule of an optimizer, and the names of its state."""

    rule: Rule
    by_weight: tuple[str, ...]
    """State of the shape of the weights, which starts at 0."""
    by_row: Mapping[str, float]
    """State with one number for each row -> its initial value."""
    on_host: frozenset[str] = frozenset()
    """State that torch's own optimizer keeps on the CPU."""

    def fresh(self, weights: Tensor) -> State:
        """The state before the first step."""
        rows = {name: torch.full_like(weights[:, :1], value) for name, value in self.by_row.items()}
        return {name: torch.zeros_like(weights) for name in self.by_weight} | rows


def constants_of(recipes: Sequence[Recipe]) -> Constants:
    """The constants of the rows with these recipes."""

    def column(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32).unsqueeze(1)

    return Constants(
        column([recipe.weight_decay for recipe in recipes]),
        column([recipe.momentum for recipe in recipes]),
        column([float(recipe.nesterov and recipe.momentum > 0) for recipe in recipes]),
    )


def _sgd(weights: Tensor, grads: Tensor, rates: Tensor, decayed: Tensor, state: State, constants: Constants) -> None:
    grads = grads + constants.weight_decay * decayed * weights
    buffer = state["momentum_buffer"]
    buffer.mul_(constants.momentum).add_(grads)
    nesterov = constants.nesterov
    ahead = torch.where(nesterov > 0, constants.momentum, 1.0)
    weights.sub_(rates * (nesterov * grads + ahead * buffer))


def _adam(weights: Tensor, grads: Tensor, rates: Tensor, decayed: Tensor, state: State, constants: Constants) -> None:
    _adam_step(weights, grads + constants.weight_decay * decayed * weights, rates, state)


def _adamw(weights: Tensor, grads: Tensor, rates: Tensor, decayed: Tensor, state: State, constants: Constants) -> None:
    weights.mul_(1 - rates * constants.weight_decay * decayed)
    _adam_step(weights, grads, rates, state)


def _adam_step(weights: Tensor, grads: Tensor, rates: Tensor, state: State) -> None:
    step, mean, denominator = _moments(grads, state)
    weights.sub_(rates / _one_minus_power(BETA1, step) * mean / denominator)


def _nadam(weights: Tensor, grads: Tensor, rates: Tensor, decayed: Tensor, state: State, constants: Constants) -> None:
    grads = grads + constants.weight_decay * decayed * weights
    step, mean, denominator = _moments(grads, state)
    mu = BETA1 * (1 - 0.5 * 0.96 ** (step * MOMENTUM_DECAY))
    mu_next = BETA1 * (1 - 0.5 * 0.96 ** ((step + 1) * MOMENTUM_DECAY))
    product = state["mu_product"].mul_(mu)
    moved = (1 - mu) / (1 - product) * grads + mu_next / (1 - product * mu_next) * mean
    weights.sub_(rates * moved / denominator)


def _moments(grads: Tensor, state: State) -> tuple[Tensor, Tensor, Tensor]:
    """Update both moments; the number of the step [rows, 1], the mean, and the denominator of Adam's step."""
    step = state["step"].add_(1)
    mean, square = state["exp_avg"], state["exp_avg_sq"]
    mean.lerp_(grads, 1 - BETA1)
    square.mul_(BETA2).addcmul_(grads, grads, value=1 - BETA2)
    return step, mean, (square / _one_minus_power(BETA2, step)).sqrt_().add_(EPS)


def _one_minus_power(beta: float, step: Tensor) -> Tensor:
    """1 - beta ** step, exact to float32, where the difference itself would lose four digits in the first steps."""
    return -torch.expm1(step * math.log(beta))


_MOMENTS = ("exp_avg", "exp_avg_sq")
STACKED_OPTIMIZERS: Mapping[str, StackedOptimizer] = {
    "sgd": StackedOptimizer(_sgd, ("momentum_buffer",), {}),
    "adam": StackedOptimizer(_adam, _MOMENTS, {"step": 0.0}),
    "adamw": StackedOptimizer(_adamw, _MOMENTS, {"step": 0.0}),
    "nadam": StackedOptimizer(_nadam, _MOMENTS, {"step": 0.0, "mu_product": 1.0}, frozenset({"step", "mu_product"})),
}
"""Optimizer by the name in ``safs.training.optimizers.OPTIMIZERS``."""
