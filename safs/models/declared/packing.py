"""Packs operations back into the modules of torch.nn that made them.

Pruning, surgery and counting look at modules: a convolution is prunable as an ``nn.Conv2d``, not as ``aten.conv2d``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from safs.models.declared.exported import Step
from safs.models.declared.modules import MODULES

MODULE = "module"


@dataclass(frozen=True, slots=True)
class Holder:
    """A module of torch.nn: its class and the arguments of its constructor."""

    kind: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WeightedCall:
    """An operation that a module with weights makes."""

    path: str
    """Path of the module; its weight is ``path.weight``."""
    holder: Holder
    """The module that would make exactly this call."""


def weighted_call(step: Step, tensors: Mapping[str, Sequence[int]], *, training: bool) -> WeightedCall | None:
    """The module whose forward is this step; None if no module of the table makes such a call.

    Args:
        tensors: name of each parameter and buffer -> shape.
        training: True in the graph of train mode.
    """
    if step.target not in _READERS:
        return None
    given = step.given()
    weight = _name(given.get("weight"))
    path, _, leaf = weight.rpartition(".")
    if leaf != "weight" or not path or len(step.args) == 0:
        return None
    bias = given.get("bias")
    if bias is not None and _name(bias) != f"{path}.bias":
        return None
    if (bias is None) == (f"{path}.bias" in tensors):
        return None
    holder = _READERS[step.target](given, tensors[weight], path, training, _rank(step))
    return None if holder is None else WeightedCall(path, holder)


def simple_call(steps: Sequence[Step], position: int, modules: Mapping[str, nn.Module]) -> tuple[str, int] | None:
    """Path of the module without weights whose forward begins at ``steps[position]``, and its number of steps.

    These are activations, dropout and flattening; None for other steps.
    """
    path = steps[position].stack[-1]
    kind = type(modules[path]).__name__ if path in modules else ""
    if kind not in _SIMPLE or type(modules[path]) is not MODULES[kind].type:
        return None
    pattern = _SIMPLE[kind]
    chunk = steps[position : position + len(pattern)]
    names = [step.target.removeprefix("aten.").partition(".")[0].rstrip("_") for step in chunk]
    same_caller = all(step.stack == chunk[0].stack for step in chunk)
    return (path, len(pattern)) if same_caller and names == list(pattern) else None


# fmt: off
_SIMPLE: Mapping[str, tuple[str, ...]] = {
    "ReLU": ("relu",), "ReLU6": ("relu6",), "SiLU": ("silu",), "GELU": ("gelu",), "Hardswish": ("hardswish",),
    "Hardsigmoid": ("hardsigmoid",), "Mish": ("mish",), "ELU": ("elu",), "CELU": ("celu",), "SELU": ("selu",),
    "LeakyReLU": ("leaky_relu",), "Hardtanh": ("hardtanh",), "Tanh": ("tanh",), "Sigmoid": ("sigmoid",),
    "Softplus": ("softplus",), "LogSigmoid": ("log_sigmoid",), "Hardshrink": ("hardshrink",),
    "Softshrink": ("softshrink",), "Softsign": ("abs", "add", "div"), "Tanhshrink": ("tanh", "sub"),
    "Dropout": ("dropout",), "Flatten": ("flatten",),
}
# fmt: on
"""Class -> the operations of its forward, without ``aten.``, overload and the mark of in-place calls."""


def _name(value: Any) -> str:
    return str(value["tensor"]) if isinstance(value, dict) and "tensor" in value else ""


def _rank(step: Step) -> int:
    return len(step.value.shape)


def _many(value: Any, count: int, default: int) -> list[int]:
    """An argument such as a stride: one number stands for all dimensions."""
    if value is None or value == []:
        return [default] * count
    values = list(value) if isinstance(value, list) else [value]
    return values * count if len(values) == 1 else values


def _convolution(given: Mapping[str, Any], weight: Sequence[int], *_: Any) -> Holder:
    dims = len(weight) - 2
    groups = given.get("groups", 1)
    padding = given.get("padding", "valid" if "padding" in given else 0)
    arguments = {
        "in_channels": weight[1] * groups,
        "out_channels": weight[0],
        "kernel_size": list(weight[2:]),
        "stride": _many(given.get("stride"), dims, 1),
        "padding": padding if isinstance(padding, str) else _many(padding, dims, 0),
        "dilation": _many(given.get("dilation"), dims, 1),
        "groups": groups,
        "bias": given.get("bias") is not None,
    }
    return Holder(f"Conv{dims}d", arguments)


def _transposed(given: Mapping[str, Any], weight: Sequence[int], *_: Any) -> Holder:
    dims = len(weight) - 2
    groups = given.get("groups", 1)
    arguments = {
        "in_channels": weight[0],
        "out_channels": weight[1] * groups,
        "kernel_size": list(weight[2:]),
        "stride": _many(given.get("stride"), dims, 1),
        "padding": _many(given.get("padding"), dims, 0),
        "output_padding": _many(given.get("output_padding"), dims, 0),
        "groups": groups,
        "bias": given.get("bias") is not None,
        "dilation": _many(given.get("dilation"), dims, 1),
    }
    return Holder(f"ConvTranspose{dims}d", arguments)


def _linear(given: Mapping[str, Any], weight: Sequence[int], *_: Any) -> Holder | None:
    if len(weight) != 2:
        return None
    bias = given.get("bias") is not None
    return Holder("Linear", {"in_features": weight[1], "out_features": weight[0], "bias": bias})


def _batch_norm(given: Mapping[str, Any], weight: Sequence[int], path: str, training: bool, rank: int) -> Holder | None:
    tracked = _name(given.get("running_mean")) == f"{path}.running_mean"
    if given["training"] is not (training or not tracked) or given.get("bias") is None:
        return None
    if tracked != (_name(given.get("running_var")) == f"{path}.running_var"):
        return None
    arguments = {
        "num_features": weight[0],
        "eps": given["eps"],
        "momentum": given["momentum"],
        "affine": True,
        "track_running_stats": tracked,
    }
    return Holder(f"BatchNorm{ {4: 2, 5: 3}.get(rank, 1) }d", arguments)


def _layer_norm(given: Mapping[str, Any], weight: Sequence[int], *_: Any) -> Holder:
    arguments = {
        "normalized_shape": given["normalized_shape"],
        "eps": given.get("eps", 1e-5),
        "elementwise_affine": True,
        "bias": given.get("bias") is not None,
    }
    return Holder("LayerNorm", arguments)


def _group_norm(given: Mapping[str, Any], weight: Sequence[int], *_: Any) -> Holder | None:
    if given.get("bias") is None:
        return None
    arguments = {
        "num_groups": given["num_groups"],
        "num_channels": weight[0],
        "eps": given.get("eps", 1e-5),
        "affine": True,
    }
    return Holder("GroupNorm", arguments)


_READERS = {
    "aten.conv1d.default": _convolution,
    "aten.conv1d.padding": _convolution,
    "aten.conv2d.default": _convolution,
    "aten.conv2d.padding": _convolution,
    "aten.conv3d.default": _convolution,
    "aten.conv3d.padding": _convolution,
    "aten.conv_transpose1d.default": _transposed,
    "aten.conv_transpose2d.input": _transposed,
    "aten.linear.default": _linear,
    "aten.batch_norm.default": _batch_norm,
    "aten.layer_norm.default": _layer_norm,
    "aten.group_norm.default": _group_norm,
}


def pack(
    steps: Sequence[Step],
    output: Any,
    holders: Mapping[str, Holder],
    modules: Mapping[str, nn.Module],
    tensors: Mapping[str, Sequence[int]],
    *,
    training: bool,
    counts: bool = True,
) -> tuple[list[Step], Any]:
    """``steps`` and the reference to the ``output``, with what a module makes turned into calls of it.

    Args:
        holders: path -> the module of torch.nn that the document has there.
        modules: path -> the user's module.
        tensors: name of each parameter and buffer -> shape.
        counts: True if each call of a batch norm in train mode has a step that counts the batches.
    """
    packed: list[Step] = []
    replaced: dict[Step, Step] = {}
    position = 0
    while position < len(steps):
        step = _updated(steps[position], replaced)
        taken = 1
        found = weighted_call(step, tensors, training=training)
        if found is not None and holders.get(found.path) == found.holder:
            if counts and not _drop_counter(packed, found, training):
                found = None
            else:
                step.target, step.module = MODULE, found.path
        if step.target != MODULE and (simple := simple_call(steps, position, modules)) is not None:
            path, taken = simple
            last = steps[position + taken - 1]
            step.target, step.module = MODULE, path
            replaced |= dict.fromkeys(steps[position : position + taken], step)
            step.value = last.value
        if step.target == MODULE:
            step.args, step.kwargs = [step.args[0]], {}
            step.stack = _caller(step.stack, str(step.module))
        packed.append(step)
        position += taken
    return [_updated(step, replaced) for step in packed], _replace(output, replaced)


def inferred_holders(
    programs: Mapping[bool, Iterable[Step]], known: Mapping[str, Holder], tensors: Mapping[str, Sequence[int]]
) -> dict[str, Holder]:
    """Modules for weights that no module of torch.nn holds, where all calls that read a weight agree on one."""
    found: dict[str, Holder] = {}
    disputed = set(known)
    for training, steps in programs.items():
        for step in steps:
            call = weighted_call(step, tensors, training=training)
            if (
                call is not None
                and call.path not in disputed
                and found.setdefault(call.path, call.holder) != call.holder
            ):
                disputed.add(call.path)
    return {path: holder for path, holder in found.items() if path not in disputed}


def _caller(stack: tuple[str, ...], path: str) -> tuple[str, ...]:
    return stack[:-1] if len(stack) > 1 and stack[-1] == path else stack


def _drop_counter(packed: list[Step], call: WeightedCall, training: bool) -> bool:
    """Remove the step that counts the batches of a batch norm, which the module does itself; False if there is none."""
    if not training or call.holder.arguments.get("track_running_stats") is not True:
        return True
    counter = {"tensor": f"{call.path}.num_batches_tracked"}
    for index in range(len(packed) - 1, -1, -1):
        step = packed[index]
        if step.target == "aten.add_.Tensor" and step.args == [counter, 1]:
            del packed[index]
            return True
    return False


def _updated(step: Step, replaced: Mapping[Step, Step]) -> Step:
    if replaced:
        step.args = [_replace(value, replaced) for value in step.args]
        step.kwargs = {name: _replace(value, replaced) for name, value in step.kwargs.items()}
    return step


def _replace(value: Any, replaced: Mapping[Step, Step]) -> Any:
    if isinstance(value, list):
        return [_replace(item, replaced) for item in value]
    return replaced.get(value, value) if isinstance(value, Step) else value
