"""Torch's layers, functions and methods, and values, as code. What is not known here is refused."""

import ast
import operator
from collections.abc import Mapping
from math import isinf, isnan
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.fx import Node

from safs.deploy.source_layout import call
from safs.errors import ExportError

_INFIX: dict[Any, str] = {
    operator.add: "+",
    operator.iadd: "+",
    operator.sub: "-",
    operator.isub: "-",
    operator.mul: "*",
    operator.imul: "*",
    operator.truediv: "/",
    operator.itruediv: "/",
    operator.floordiv: "//",
    operator.mod: "%",
    operator.pow: "**",
    operator.matmul: "@",
    operator.eq: "==",
}
_DIRECT = ("stochastic_depth", "drop_path", "dropout", "dropout_", "alpha_dropout", "feature_alpha_dropout")
"""Functions of train mode that return their first argument in eval mode."""


def function_call(function: Any, arguments: list[str], named: Mapping[str, str]) -> str:
    """The call of a function of torch, an operator of Python, or ``getattr``."""
    if function in _INFIX:
        return f"{_grouped(arguments[0])} {_INFIX[function]} {_grouped(arguments[1])}"
    if function is operator.getitem:
        return f"{_grouped(arguments[0])}[{arguments[1].removeprefix('(').removesuffix(')')}]"
    if function is operator.neg:
        return f"-{_grouped(arguments[0])}"
    if function is getattr:
        return f"{arguments[0]}.{_attribute(arguments[1])}"
    if getattr(function, "__name__", "") in _DIRECT and not _is_training(arguments, named):
        return arguments[0]
    return call(_function_name(function), [*arguments, *(f"{name}={value}" for name, value in named.items())])


def method_call(name: str, arguments: list[str], named: Mapping[str, str]) -> str:
    """The call of a method of a tensor or of its shape."""
    if not name.isidentifier() or name.startswith("_") or not callable(getattr(Tensor, name, None)):
        raise ExportError(f"the network calls the method {name!r}, which tensors do not have")
    rest = [*arguments[1:], *(f"{key}={value}" for key, value in named.items())]
    return call(f"{_grouped(arguments[0])}.{name}", rest)


def constructor(module: nn.Module, path: str) -> str:
    """The code that makes a layer like ``module``: a class of torch.nn with literal arguments."""
    kind = type(module)
    if getattr(nn, kind.__name__, None) is not kind:
        raise ExportError(f"layer {path!r} is a {kind.__name__}, which is not a layer of torch.nn")
    if isinstance(module, nn.MultiheadAttention):
        sizes = [str(module.embed_dim), str(module.num_heads)]
        options = {
            "bias": module.in_proj_bias is not None,
            "add_bias_kv": module.bias_k is not None,
            "add_zero_attn": module.add_zero_attn,
            "kdim": module.kdim,
            "vdim": module.vdim,
            "batch_first": module.batch_first,
        }
        return call("nn.MultiheadAttention", [*sizes, *(f"{name}={literal(value)}" for name, value in options.items())])
    if any(module.children()):
        raise ExportError(
            f"layer {path!r} is a {kind.__name__} with layers inside, which the format torch cannot write"
        )
    code = f"nn.{kind.__name__}({_settings(module)})"
    if not _is_literal_call(code):
        raise ExportError(f"layer {path!r} cannot be written as code: {code}")
    return code


def place(path: str, code: str) -> str:
    """The statement that puts a member at ``path``."""
    return call("self.place", [literal(path), code])


def literal(value: Any, names: Mapping[Node, str] | None = None) -> str:
    """A value as code; nodes as their names.

    >>> literal((1, "a", None)), literal([0.5])
    ('(1, "a", None)', '[0.5]')
    """
    match value:
        case Node() if names is not None and value in names:
            return names[value]
        case bool() | int() | None:
            return repr(value)
        case float():
            return f'float("{value}")' if isinf(value) or isnan(value) else repr(value)
        case str():
            return _quoted(value)
        case torch.dtype() | torch.memory_format() | torch.layout():
            return str(value)
        case torch.device():
            return f"torch.device({_quoted(str(value))})"
        case slice():
            return f"slice({', '.join(literal(part, names) for part in (value.start, value.stop, value.step))})"
        case tuple():
            inside = ", ".join(literal(item, names) for item in value)
            return f"({inside},)" if len(value) == 1 else f"({inside})"
        case list():
            return f"[{', '.join(literal(item, names) for item in value)}]"
        case _ if value is ...:
            return "..."
    raise ExportError(f"the network uses a value of type {type(value).__name__}, which cannot be written as code")


def _quoted(text: str) -> str:
    code = repr(text)
    return f'"{code[1:-1]}"' if code[0] == "'" and '"' not in code else code


def _attribute(code: str) -> str:
    name = code.strip("\"'")
    if name not in ("shape", "ndim", "dtype", "device", "T", "mT"):
        raise ExportError(f"the network reads the attribute {name!r}, which the format torch does not know")
    return name


def _grouped(code: str) -> str:
    return code if code.isidentifier() or _is_number(code) or (code[-1] in ")]" and code[0] == "(") else f"({code})"


def _is_number(code: str) -> bool:
    return code.replace(".", "", 1).isdecimal()


def _is_training(arguments: list[str], named: Mapping[str, str]) -> bool:
    training = named.get("training", arguments[-1] if arguments[-1] in ("True", "False") else "False")
    return training != "False"


def _settings(module: nn.Module) -> str:
    """The arguments that ``module`` prints; torch.nn's layers print those of their constructors."""
    settings = module.extra_repr()
    match module:
        case nn.BatchNorm1d() | nn.BatchNorm2d() | nn.BatchNorm3d():
            parts = [str(module.num_features), f"eps={module.eps}"]
            parts += [] if module.affine else ["affine=False"]
            parts += [] if module.track_running_stats else ["track_running_stats=False"]
            return ", ".join(parts)
        case nn.Upsample():
            return (
                f"size={literal(module.size)}, scale_factor={literal(module.scale_factor)}, mode={literal(module.mode)}"
            )
        case nn.Flatten():
            return f"{module.start_dim}, {module.end_dim}"
        case nn.AdaptiveAvgPool1d() | nn.AdaptiveAvgPool2d() | nn.AdaptiveMaxPool2d():
            return literal(module.output_size)
        case nn.Conv1d() | nn.Conv2d() | nn.Conv3d() if module.padding_mode != "zeros":
            return settings.replace(
                f"padding_mode={module.padding_mode}", f"padding_mode={literal(module.padding_mode)}"
            )
    return settings.replace("'", '"')


def _is_literal_call(code: str) -> bool:
    """True if ``code`` is one call whose arguments are literals."""
    try:
        tree = ast.parse(code, mode="eval").body
    except SyntaxError:
        return False
    if not isinstance(tree, ast.Call):
        return False
    values = [*tree.args, *(item.value for item in tree.keywords)]
    nodes = [node for value in values for node in ast.walk(value)]
    return all(
        isinstance(node, ast.Constant | ast.Tuple | ast.List | ast.Load | ast.UnaryOp | ast.USub) for node in nodes
    )


def torch_name(function: Any) -> str | None:
    """The name under which a function can be called: ``F.relu``, ``torch.flatten``; None if it is none of torch's."""
    if isinstance(function, OpOverload) and function.namespace == "aten":
        return f"torch.ops.{function}"
    own = getattr(function, "__name__", "")
    for prefix, module in _MODULES.items():
        for name in (own, *dir(module)):
            if name.isidentifier() and not name.startswith("_") and getattr(module, name, None) is function:
                return f"{prefix}.{name}"
    return None


def _function_name(function: Any) -> str:
    name = torch_name(function)
    if name is None:
        own = f"{getattr(function, '__module__', '')}.{getattr(function, '__name__', function)}"
        raise ExportError(f"the network calls {own}, which is no function of torch; choose the format onnx or pt2")
    return name


_MODULES: dict[str, Any] = {"F": F, "torch": torch, "torch.special": torch.special, "torch.linalg": torch.linalg}
