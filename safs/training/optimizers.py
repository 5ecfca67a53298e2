"""Optimizers by name.

SAFS searches over SGD, Adam, TAdam and Fromage. AdamW and NAdam of torch replace the last two here. The packages of
TAdam are hardly maintained (``tadam``: one release, 2021). ``pytorch_optimizer`` is well maintained (4.1: frequent
releases, tests, Apache licence) and has Fromage, but no TAdam. Fromage alone does not justify a dependency of a hundred
optimizers, and it scales the step of a layer by the norm of the layer's whole gradient: pruned weights have gradients
too and would slow the live weights down, the more the sparser the network is. SGD, Adam, AdamW and NAdam move each
weight by its own gradient alone.
"""

import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import torch
from torch import nn
from torch.optim import Optimizer

from safs.registry import Registry
from safs.spec.training import Recipe

Kind = TypeVar("Kind", bound=Optimizer)
Groups: TypeAlias = list[dict[str, Any]]
"""Parameter groups in the form that torch's optimizers take."""


@dataclass(frozen=True, slots=True)
class OptimizerEntry:
    """An optimizer that moves each weight by its own gradient alone, so that pruned weights can be kept at zero."""

    summary: str
    make: Callable[[Groups, Recipe], Optimizer]


def make_optimizer(model: nn.Module, recipe: Recipe, *, exempt: Collection[nn.Parameter] = ()) -> Optimizer:
    """Create the recipe's optimizer over the trainable parameters of ``model``.

    Weight decay applies to parameters with two or more dimensions, not to biases and norms. The first parameter group
    is the decayed one, if there is one.

    Args:
        exempt: further parameters without weight decay, such as the scalars of operators.

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


def _without_compiler(kind: type[Kind]) -> type[Kind]:
    """The optimizer without the wrappers that are there for ``torch.compile``, which nothing here uses.

    The wrappers import torch._dynamo, inductor and sympy with the first optimizer of a process, which takes a second of
    CPU and 150 MB. The wrapped functions are found by ``__wrapped__``, as ``functools.wraps`` documents it.
    """
    plain = {name: inspect.unwrap(getattr(kind, name)) for name in _WRAPPED}
    return type(kind.__name__, (kind,), plain | {"step": torch.no_grad()(inspect.unwrap(kind.step))})


_WRAPPED = ("add_param_group", "state_dict", "load_state_dict", "zero_grad")
_SGD = _without_compiler(torch.optim.SGD)
_ADAM = _without_compiler(torch.optim.Adam)
_ADAMW = _without_compiler(torch.optim.AdamW)
_NADAM = _without_compiler(torch.optim.NAdam)


def _sgd(groups: Groups, recipe: Recipe) -> Optimizer:
    nesterov = recipe.nesterov and recipe.momentum > 0  # without momentum both are plain SGD, and torch refuses it
    return _SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=nesterov, fused=True)


def _adam(groups: Groups, recipe: Recipe) -> Optimizer:
    return _ADAM(groups, lr=recipe.learning_rate, fused=True)


def _adamw(groups: Groups, recipe: Recipe) -> Optimizer:
    return _ADAMW(groups, lr=recipe.learning_rate, fused=True)


def _nadam(groups: Groups, recipe: Recipe) -> Optimizer:
    return _NADAM(groups, lr=recipe.learning_rate)


OPTIMIZERS: Registry[OptimizerEntry] = Registry(
    "optimizer",
    {
        "sgd": OptimizerEntry("stochastic gradient descent with momentum; decay as an L2 penalty", _sgd),
        "adam": OptimizerEntry("Adam (arXiv:1412.6980); decay as an L2 penalty", _adam),
        "adamw": OptimizerEntry("Adam with decoupled weight decay (arXiv:1711.05101)", _adamw),
        "nadam": OptimizerEntry("Adam with Nesterov momentum (Dozat 2016); decay as an L2 penalty", _nadam),
    },
)
