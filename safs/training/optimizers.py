"""Optimizers by name.

SAFS searches over SGD, Adam, TAdam and Fromage; the last two are not taken. TAdam comes in packages that are hardly
kept up (``tadam``: one release, 2021). ``pytorch_optimizer`` is a healthy source (4.1: frequent releases, tests,
Apache licence) and has Fromage, but no TAdam. Fromage alone would cost a dependency of a hundred optimizers, and it
scales a layer's step by the norm of its whole gradient: pruned weights, which have gradients too, would slow the live
ones down, and the more the sparser the network is. torch's own AdamW and NAdam take their places; like SGD and Adam,
they move each weight by its own gradient alone.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.optim import Optimizer

from safs.registry import Registry
from safs.spec.job import Recipe

Groups: TypeAlias = list[dict[str, Any]]
"""Parameter groups as torch's optimizers take them."""


@dataclass(frozen=True, slots=True)
class OptimizerEntry:
    """An optimizer that moves each weight by its own gradient alone, as re-zeroing pruned weights asks for."""

    summary: str
    make: Callable[[Groups, Recipe], Optimizer]


def make_optimizer(model: nn.Module, recipe: Recipe, *, exempt: Collection[nn.Parameter] = ()) -> Optimizer:
    """The recipe's optimizer over the trainable parameters of ``model``.

    Weight decay falls on parameters of two and more dimensions; those of fewer are biases and norms. The first group is
    the decayed one (unless there is none such).

    Args:
        exempt: parameters that are not decayed either, such as operators' scalars.

    Raises:
        UnknownNameError: no such optimizer.
    """
    entry = OPTIMIZERS[recipe.optimizer]
    free = {id(parameter) for parameter in exempt}
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in trainable if parameter.ndim >= 2 and id(parameter) not in free]
    others = [parameter for parameter in trainable if parameter.ndim < 2 or id(parameter) in free]
    groups: Groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return entry.make([group for group in groups if group["params"]], recipe)


def _sgd(groups: Groups, recipe: Recipe) -> Optimizer:
    nesterov = recipe.nesterov and recipe.momentum > 0  # without momentum both are plain SGD, and torch refuses it
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=nesterov, fused=True)


def _adam(groups: Groups, recipe: Recipe) -> Optimizer:
    return torch.optim.Adam(groups, lr=recipe.learning_rate, fused=True)


def _adamw(groups: Groups, recipe: Recipe) -> Optimizer:
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)


def _nadam(groups: Groups, recipe: Recipe) -> Optimizer:
    return torch.optim.NAdam(groups, lr=recipe.learning_rate)


OPTIMIZERS: Registry[OptimizerEntry] = Registry(
    "optimizer",
    {
        "sgd": OptimizerEntry("stochastic gradient descent with momentum; decay as an L2 penalty", _sgd),
        "adam": OptimizerEntry("Adam (arXiv:1412.6980); decay as an L2 penalty", _adam),
        "adamw": OptimizerEntry("Adam with decoupled weight decay (arXiv:1711.05101)", _adamw),
        "nadam": OptimizerEntry("Adam with Nesterov momentum (Dozat 2016); decay as an L2 penalty", _nadam),
    },
)
