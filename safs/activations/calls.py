"""Recognises the calls of activations in a traced model: modules, functions and methods, in place or not.

PReLU, RReLU, GLU, softmax and the activations inside MultiheadAttention or an LSTM do not count, since they hold
weights, draw random numbers, change shapes or mix elements.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.fx import Node

from safs.activations.operators import OPERATORS, Operator, scaled


@dataclass(frozen=True, slots=True)
class ActivationCall:
    """A call of an activation in a graph."""

    operator: Operator
    """The operator that the model calls."""
    in_place: bool
    """True if the call overwrites its input."""


def activation_call(node: Node, modules: Mapping[str, nn.Module]) -> ActivationCall | None:
    """The activation that ``node`` calls, None if it calls none; ``modules`` maps paths of the traced model."""
    match node.op:
        case "call_module":
            module = modules[str(node.target)]
            kind = _BY_MODULE.get(type(module))
            settings = {} if kind is None else {name: getattr(module, name) for name in kind.defaults}
            in_place = bool(getattr(module, "inplace", False))
        case "call_function" | "call_method":
            kind = _BY_METHOD.get(str(node.target)) if node.op == "call_method" else _BY_FUNCTION.get(node.target)
            arguments = {} if kind is None else _arguments(kind, node)
            settings = {} if kind is None else {name: arguments[name] for name in kind.defaults}
            in_place = bool(arguments.get("inplace", False)) or name_of(node.target).endswith("_")
        case _:
            return None
    if kind is None or first_argument(node) is None or any(isinstance(value, Node) for value in settings.values()):
        return None
    return ActivationCall(_operator(kind, settings), in_place)


def name_of(target: Any) -> str:
    """Name of a called function or method; of an operation of PyTorch's, without the overload: ``relu_``."""
    if isinstance(target, OpOverload):
        return target.__name__.partition(".")[0]
    return target if isinstance(target, str) else str(getattr(target, "__name__", ""))


def first_argument(node: Node) -> Node | None:
    """The first argument of a call: the input of an activation, a view or an in-place operation; None if no node."""
    first = node.args[0] if node.args else node.kwargs.get("input", node.kwargs.get("self"))
    return first if isinstance(first, Node) else None


@dataclass(frozen=True, slots=True)
class _Kind:
    """An activation function and the ways to call it."""

    name: str
    function: Callable[..., Tensor]
    module: type[nn.Module]
    aliases: tuple[Callable[..., Any], ...] = ()
    """Other functions that compute the same."""
    methods: tuple[str, ...] = ()
    """Names of tensor methods that compute the same."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Settings -> default values, in the order of the function's arguments."""

    @property
    def operation(self) -> str:
        """Name of the operation that torch.export records for a call; ``_`` at the end means in place."""
        return "log_sigmoid" if self.name == "logsigmoid" else self.name


_KINDS = (
    _Kind("relu", F.relu, nn.ReLU, (torch.relu, torch.relu_, F.relu_), ("relu", "relu_")),
    _Kind("relu6", F.relu6, nn.ReLU6),
    _Kind("silu", F.silu, nn.SiLU),
    _Kind("gelu", F.gelu, nn.GELU, defaults={"approximate": "none"}),
    _Kind("hardswish", F.hardswish, nn.Hardswish),
    _Kind("hardsigmoid", F.hardsigmoid, nn.Hardsigmoid),
    _Kind("mish", F.mish, nn.Mish),
    _Kind("elu", F.elu, nn.ELU, (F.elu_,), defaults={"alpha": 1.0}),
    _Kind("celu", F.celu, nn.CELU, (F.celu_, torch.celu, torch.celu_), defaults={"alpha": 1.0}),
    _Kind("selu", F.selu, nn.SELU, (F.selu_, torch.selu, torch.selu_)),
    _Kind("leaky_relu", F.leaky_relu, nn.LeakyReLU, (F.leaky_relu_,), defaults={"negative_slope": 0.01}),
    _Kind("hardtanh", F.hardtanh, nn.Hardtanh, (F.hardtanh_,), defaults={"min_val": -1.0, "max_val": 1.0}),
    _Kind("tanh", torch.tanh, nn.Tanh, (F.tanh, torch.tanh_), ("tanh", "tanh_")),
    _Kind(
        "sigmoid",
        torch.sigmoid,
        nn.Sigmoid,
        (F.sigmoid, torch.sigmoid_, torch.special.expit),
        ("sigmoid", "sigmoid_"),
    ),
    _Kind("softplus", F.softplus, nn.Softplus, defaults={"beta": 1.0, "threshold": 20.0}),
    _Kind("logsigmoid", F.logsigmoid, nn.LogSigmoid),
    _Kind("softsign", F.softsign, nn.Softsign),
    _Kind("tanhshrink", F.tanhshrink, nn.Tanhshrink),
    _Kind("hardshrink", F.hardshrink, nn.Hardshrink, (torch.hardshrink,), ("hardshrink",), {"lambd": 0.5}),
    _Kind("softshrink", F.softshrink, nn.Softshrink, defaults={"lambd": 0.5}),
)
_BY_MODULE = {kind.module: kind for kind in _KINDS}
_BY_FUNCTION: dict[Any, _Kind] = {function: kind for kind in _KINDS for function in (kind.function, *kind.aliases)}
_BY_FUNCTION |= {
    getattr(torch.ops.aten, name).default: kind
    for kind in _KINDS
    for name in (kind.operation, f"{kind.operation}_")
    if hasattr(torch.ops.aten, name)
}
_BY_METHOD = {method: kind for kind in _KINDS for method in kind.methods}


def _arguments(kind: _Kind, node: Node) -> dict[str, Any]:
    """The call's arguments by name, with defaults. Builtins without a signature take the input, then the settings."""
    if isinstance(node.target, OpOverload):
        names = [argument.name for argument in node.target._schema.arguments]
        return {**kind.defaults, **dict(zip(names, node.args, strict=False)), **node.kwargs}
    try:
        names = list(inspect.signature(kind.function).parameters)
    except ValueError:
        names = ["input", *kind.defaults]
    return {**kind.defaults, **dict(zip(names, node.args, strict=False)), **node.kwargs}


def _operator(kind: _Kind, settings: Mapping[str, Any]) -> Operator:
    """The registry's operator for the same function, else one made from the call, such as ``leaky_relu(0.2)``."""
    if all(settings[name] == default for name, default in kind.defaults.items()):
        name, function = kind.name, kind.function
        if name in OPERATORS:
            return OPERATORS[name]
    else:
        name = f"{kind.name}({','.join(_short(value) for value in settings.values())})"
        function = partial(kind.function, **settings)
    return scaled(
        name,
        function,
        f"alpha * {name}(beta x)",
        "The network's original activation.",
        f"torch.nn.{kind.module.__name__}",
    )


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)
