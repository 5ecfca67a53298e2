"""Reads the graph of a ``torch.export`` program as steps: operations by name, arguments as a document has them."""

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import GraphModule, Node
from torch.utils._pytree import tree_unflatten

from safs.errors import SurgeryError
from safs.models.declared.operations import DTYPES, GETITEM, IMPLIED, MEMORY_FORMATS, operations

_DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_FORMAT_NAMES = {memory_format: name for name, memory_format in MEMORY_FORMATS.items()}
_UNINITIALISED = {
    "aten.empty.memory_format": "aten.zeros.default",
    "aten.new_empty.default": "aten.new_zeros.default",
    "aten.empty_like.default": "aten.zeros_like.default",
}
"""Operations that return uninitialised memory -> those that capture writes instead."""
_RENAMED = _UNINITIALISED | {
    "aten.lift_fresh_copy.default": "aten.clone.default",
    "aten.detach_.default": "aten.detach.default",
    "aten.empty.default": "aten.zeros.default",
}
_BOUNDED = {"aten.hardtanh.default": "aten.relu6.default", "aten.hardtanh_.default": "aten.relu6_.default"}
_CONVERSIONS = frozenset(
    {"aten.to.device", "aten.to.dtype", "aten.to.dtype_layout", "aten._to_copy.default", "aten.to.other"}
)
_CHECKS = ("aten._assert", "aten.sym_constrain", "aten._functional_assert")
_ARITHMETIC: dict[Any, str] = {
    operator.add: "operator.add",
    operator.sub: "operator.sub",
    operator.mul: "operator.mul",
    operator.floordiv: "operator.floordiv",
    operator.truediv: "operator.truediv",
    operator.neg: "operator.neg",
    operator.getitem: GETITEM,
}
_ALL = 2**31
"""An end of a slice from which on it means all."""
_LOCATION = re.compile(r'File "(.+?)", line (\d+)')


@dataclass(eq=False, slots=True)
class Step:
    """A call of the exported graph. Arguments are as in a document, but refer to steps instead of numbers."""

    target: str
    args: list[Any]
    kwargs: dict[str, Any]
    stack: tuple[str, ...]
    """Paths of the modules that are running, the outermost (the empty path) first."""
    line: str
    value: Any = None
    """The result as torch.export has it: a fake tensor, several of them, or a symbolic number."""
    module: str | None = None
    """Path of the module that the step calls, once it is packed."""

    def given(self) -> dict[str, Any]:
        """All arguments by name, with those that have defaults in the schema left out."""
        names = (argument.name for argument in operations()[self.target].arguments if not argument.keyword_only)
        return dict(zip(names, self.args, strict=False)) | self.kwargs


@dataclass(frozen=True, slots=True)
class Program:
    """An exported graph."""

    steps: list[Step]
    output: Any
    """The reference to the logits."""
    classes: int
    constants: dict[str, Tensor] = field(default_factory=dict)
    """Tensors that the forward creates, by the names that ``constant_name`` gave."""


def steps_of(
    exported: ExportedProgram,
    tensor_name: Callable[[str], str],
    constant_name: Callable[[Tensor], str],
    path_of: Callable[[str], str],
) -> Program:
    """The steps of ``exported``.

    Args:
        tensor_name: name in torch.export's signature -> name in the document.
        constant_name: a tensor that the forward creates -> name in the document.
        path_of: path that torch.export has for a module -> its path in the document.

    Raises:
        SurgeryError: the graph calls something that no document can hold, or does not return one tensor of logits.
    """
    reader = _Reader(path_of)
    constants: dict[str, Tensor] = {}
    signature = {spec.arg.name: spec for spec in exported.graph_signature.input_specs if hasattr(spec.arg, "name")}
    for node in exported.graph.nodes:
        if node.op != "placeholder":
            continue
        spec = signature[node.name]
        match spec.kind:
            case InputKind.USER_INPUT:
                reader.values[node] = {"node": 0}
            case InputKind.PARAMETER | InputKind.BUFFER:
                reader.values[node] = {"tensor": tensor_name(str(spec.target))}
            case InputKind.CONSTANT_TENSOR:
                value = exported.constants[str(spec.target)]
                name = constant_name(value)
                constants[name] = value
                reader.values[node] = {"tensor": name}
            case _:
                raise SurgeryError(f"the forward needs an object that is no tensor ({spec.kind.name.lower()})")
    output = reader.read(exported.graph_module)
    logits = _logits(output, exported)
    shape = logits.meta["val"].shape
    if len(shape) != 2 or not isinstance(shape[1], int) or logits.meta["val"].dtype != torch.float32:
        kind = f"{logits.meta['val'].dtype} of shape {list(shape)}"
        raise SurgeryError(f"the forward returns {kind}; it must return float32 logits [batch, classes]")
    steps = _needed(reader.steps, reader.values[logits])
    return Program(steps, reader.values[logits], int(shape[1]), constants)


class _Reader:
    """Turns nodes into steps."""

    def __init__(self, path_of: Callable[[str], str]) -> None:
        self.values: dict[Node, Any] = {}
        self.steps: list[Step] = []
        self._path_of = path_of

    def read(self, program: GraphModule) -> Any:
        """Read all calls of ``program``, whose placeholders have values, and return the arguments of its output."""
        for node in program.graph.nodes:
            if node.op == "output":
                return node.args[0]
            if node.op == "call_function":
                self._call(node, program)
        raise AssertionError("a graph has an output")

    def _call(self, node: Node, program: GraphModule) -> None:
        target = node.target
        name = _ARITHMETIC.get(target, str(target))
        if name.startswith(_CHECKS):
            return
        if name in ("wrap_with_autocast", "wrap_with_set_grad_enabled") or "wrap_with_" in name:
            self._inline(node, program)
        # torch.fx types arguments as any constant; the first one of these operations is a node, an index an integer.
        elif name == GETITEM and isinstance(several := self.values.get(node.args[0]), _Several):  # type: ignore[arg-type]
            self.values[node] = several.values[int(node.args[1])]  # type: ignore[arg-type]
        elif name in _CONVERSIONS:
            self._convert(node)
        elif name == "aten.lift_fresh.default":
            self.values[node] = self.values[node.args[0]]  # type: ignore[index]
        elif target in _COMPARISONS:
            self.values[node] = None  # only checks read it
        else:
            self._add(node, _RENAMED.get(name, name), list(node.args), dict(node.kwargs))

    def _add(self, node: Node, name: str, args: list[Any], kwargs: dict[str, Any]) -> None:
        stack = self._stack(node)
        if name not in operations():
            where = stack[-1] or "the forward itself"
            raise SurgeryError(
                f"{where} calls {name}, which is no supported operation. A plugin can use it: docs/own-network.md"
            )
        if name in _RENAMED.values() or name in _UNINITIALISED.values():
            kwargs.pop("memory_format", None)
        kwargs = {key: value for key, value in kwargs.items() if key not in IMPLIED and value is not None}
        if name == "aten.slice.Tensor":
            args = [None if isinstance(value, int) and value >= _ALL else value for value in args]
        if name in _BOUNDED and tuple(args[1:3]) == (0.0, 6.0):
            name, args = _BOUNDED[name], args[:1]  # torch.export records ReLU6 as this
        if name == "aten.einsum.default":
            args[0] = str(args[0]).replace(" ", "")
        step = Step(
            name,
            [self._value(value) for value in args],
            {key: self._value(value) for key, value in kwargs.items()},
            stack,
            _line(node),
            node.meta.get("val"),
        )
        self.steps.append(step)
        self.values[node] = step

    def _convert(self, node: Node) -> None:
        """Conversions to a device mean nothing here; those to another dtype are kept."""
        source = node.args[0]
        assert isinstance(source, Node)
        wanted, given = node.meta["val"].dtype, source.meta["val"].dtype
        if wanted == given:
            self.values[node] = self.values[source]
        else:
            self._add(node, "aten.to.dtype", [source, wanted], {})

    def _inline(self, node: Node, program: GraphModule) -> None:
        """Read a region under autocast or without gradients as a part of this graph."""
        region = next(value for value in node.args if isinstance(value, Node) and value.op == "get_attr")
        inner = program.get_submodule(str(region.target))
        assert isinstance(inner, GraphModule)
        given = list(node.args[node.args.index(region) + 1 :])
        name = str(node.target)
        if "autocast" in name and node.args[2] is not False:
            raise SurgeryError("the forward turns autocast on; leave the precision to the training")
        if "autocast" not in name and "set_grad_enabled" not in name:
            raise SurgeryError(f"the forward needs {name}, which no document can hold")
        placeholders = [inside for inside in inner.graph.nodes if inside.op == "placeholder"]
        for placeholder, value in zip(placeholders, given, strict=True):
            self.values[placeholder] = self._value(value)
        outputs = self.read(inner)
        stops_gradients = "set_grad_enabled" in name and node.args[0] is False
        values = [self._detached(value) if stops_gradients else self._value(value) for value in outputs]
        self.values[node] = _Several(values)

    def _detached(self, value: Any) -> Any:
        step = Step("aten.detach.default", [self._value(value)], {}, ("",), "", value.meta.get("val"))
        self.steps.append(step)
        return step

    def _value(self, value: Any) -> Any:
        match value:
            case Node():
                return self._of_node(value)
            case list() | tuple():
                return [self._value(item) for item in value]
            case torch.dtype():
                return _DTYPE_NAMES.get(value, str(value))
            case torch.memory_format():
                return _FORMAT_NAMES.get(value, str(value))
            case float() if math.isinf(value):
                return {"float": "inf" if value > 0 else "-inf"}
            case _:
                return value

    def _of_node(self, node: Node) -> Any:
        if node in self.values:
            return self.values[node]
        raise SurgeryError(f"the forward reads {node.name} ({node.target}), which no document can hold")

    def _stack(self, node: Node) -> tuple[str, ...]:
        found = [self._path_of(path.partition("@")[0]) for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
        return ("", *(path for path in found if path))


@dataclass(frozen=True, slots=True)
class _Several:
    """The results of a region."""

    values: list[Any]


_COMPARISONS = frozenset({operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge, operator.and_})


def _line(node: Node) -> str:
    found = _LOCATION.findall(node.meta.get("stack_trace") or "")
    return ":".join(found[-1]) if found else ""


def _logits(output: Any, exported: ExportedProgram) -> Node:
    """The node of the logits: the only output, or the field ``logits`` of a structure."""
    spec = exported.call_spec.out_spec
    found = tree_unflatten(list(output), spec) if spec is not None else output
    if isinstance(found, tuple | list) and len(found) == 1:
        found = found[0]
    found = found.get("logits", found) if isinstance(found, Mapping) else getattr(found, "logits", found)
    if not isinstance(found, Node) or not isinstance(found.meta.get("val"), Tensor):
        raise SurgeryError(
            f"the forward returns a {type(found).__name__}; it must return logits [batch, classes], or an object with "
            "the field logits"
        )
    return found


def _needed(steps: list[Step], output: Any) -> list[Step]:
    """The steps that the output depends on, and those that write to a tensor."""
    needed: set[Step] = set()
    for step in reversed(steps):
        arguments = operations()[step.target].arguments
        writes = any(argument.is_written for argument in arguments)
        if step is output or writes or step in needed:
            needed |= {step, *_read_by(step)}
    return [step for step in steps if step in needed]


def _read_by(step: Step) -> Iterator[Step]:
    for value in (*step.args, *step.kwargs.values()):
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Step):
                yield item
