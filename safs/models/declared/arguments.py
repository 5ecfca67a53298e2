"""Arguments of a call, from JSON to what torch.fx takes, by the schema of the operation."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch.fx import Graph, Node

from safs.errors import NetworkError
from safs.models.declared.document import MAX_INTEGER, MAX_RANK, Call
from safs.models.declared.operations import (
    DTYPES,
    IMPLIED,
    MEMORY_FORMATS,
    STRINGS,
    Argument,
    Operation,
    Value,
)

_EQUATION = re.compile(r"[A-Za-z]{0,8}(,[A-Za-z]{0,8}){0,7}->[A-Za-z]{0,8}", re.ASCII)
_LARGEST_FLOAT = 1e38
_LONGEST_LIST = 4096


@dataclass(frozen=True, slots=True)
class Result:
    """The value of an earlier call."""

    node: Node
    kind: Value


class Arguments:
    """Reads the arguments of the calls of one graph.

    Args:
        graph: gets a node for each read of a tensor.
        results: values of the earlier calls by number; the caller appends to it.
        tensors: names of the tensors that a call may read.
    """

    def __init__(self, graph: Graph, results: Sequence[Result], tensors: frozenset[str]) -> None:
        self._graph, self._results, self._tensors = graph, results, tensors

    def read(self, call: Call, operation: Operation) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and named arguments of ``call``.

        Raises:
            NetworkError: an argument is missing, unknown, given twice, or not of the type that the schema asks for.
        """
        positional = [argument for argument in operation.arguments if not argument.keyword_only]
        if len(call.args) > len(positional):
            raise _fault(call, f"it takes at most {len(positional)} positional arguments")
        given = dict(zip((argument.name for argument in positional), call.args, strict=False))
        if twice := given.keys() & call.kwargs.keys():
            raise _fault(call, f"the argument {min(twice)} is given twice")
        given |= call.kwargs
        known = {argument.name: argument for argument in operation.arguments if argument.name not in IMPLIED}
        if unknown := given.keys() - known.keys():
            raise _fault(call, f"the argument {min(unknown)[:60]!r} cannot be given")
        if missing := {name for name, argument in known.items() if argument.required} - given.keys():
            raise _fault(call, f"the argument {min(missing)} is missing")
        values = {name: self._value(call, known[name], value) for name, value in given.items()}
        names = [argument.name for argument in positional if argument.name in values]
        in_order = names == [argument.name for argument in positional][: len(names)]
        args = tuple(values.pop(name) for name in names) if in_order else ()
        return args, values

    def tensor(self, call: Call, value: Any) -> Node:
        """The node of a tensor argument."""
        match value:
            case {"node": int(number)} if len(value) == 1 and self._result(call, number).kind == "tensor":
                return self._results[number].node
            case {"tensor": str(name)} if len(value) == 1 and name in self._tensors:
                return self._graph.get_attr(name)
            case _:
                raise _fault(call, f"{_shown(value)} is no tensor")

    def _value(self, call: Call, argument: Argument, value: Any) -> Any:
        kind = argument.kind
        if kind.startswith("Optional["):
            if value is None:
                return None
            kind = kind.removeprefix("Optional[").removesuffix("]")
        if kind.startswith("List["):
            return self._list(call, argument, kind.removeprefix("List[").removesuffix("]"), value)
        return self._single(call, argument, kind, value)

    def _list(self, call: Call, argument: Argument, kind: str, value: Any) -> list[Any]:
        if not isinstance(value, list) or len(value) > _LONGEST_LIST:
            raise _fault(call, f"{argument.name} is {_shown(value)}, not a list")
        if kind == "int" and len(value) > 2 * MAX_RANK and argument.name not in ("split_sizes", "split_size"):
            raise _fault(call, f"{argument.name} has {len(value)} numbers; the limit is {2 * MAX_RANK}")
        if kind == "Optional[Tensor]":
            return [None if item is None else self.tensor(call, item) for item in value]
        return [self._single(call, argument, kind, item) for item in value]

    def _single(self, call: Call, argument: Argument, kind: str, value: Any) -> Any:
        match kind:
            case "Tensor" if argument.name == "other" and not isinstance(value, dict):
                return self._number(call, value)
            case "Tensor" if argument.name == "other" and isinstance(value, dict) and self._is_number(value):
                return self._number(call, value)
            case "Tensor":
                return self.tensor(call, value)
            case "tensors":
                return self._tensors_of(call, value)
            case "literal" | "int":
                return self._integer(call, value, literal=kind == "literal")
            case "number" | "float":
                return self._number(call, value)
            case "bool" if type(value) is bool:
                return value
            case "str" if isinstance(value, str):
                return _text(call, argument, value)
            case "ScalarType" if isinstance(value, str) and value in DTYPES:
                return DTYPES[value]
            case "MemoryFormat" if isinstance(value, str) and value in MEMORY_FORMATS:
                return MEMORY_FORMATS[value]
            case _:
                raise _fault(call, f"{argument.name} cannot be {_shown(value)}")

    def _tensors_of(self, call: Call, value: Any) -> Node:
        match value:
            case {"node": int(number)} if len(value) == 1 and self._result(call, number).kind == "tensors":
                return self._results[number].node
            case _:
                raise _fault(call, f"{_shown(value)} is not the value of an operation with several results")

    def _integer(self, call: Call, value: Any, *, literal: bool) -> Any:
        if type(value) is int and abs(value) <= MAX_INTEGER:
            return value
        if not literal and self._is_number(value):
            return self._results[value["node"]].node
        raise _fault(call, f"{_shown(value)} is no integer")

    def _number(self, call: Call, value: Any) -> Any:
        match value:
            case bool():
                return value
            case int() if abs(value) <= MAX_INTEGER:
                return value
            case float() if abs(value) <= _LARGEST_FLOAT:
                return value
            case {"float": "inf" | "-inf" as text} if len(value) == 1:
                return float(text)
            case _ if self._is_number(value):
                return self._results[value["node"]].node
            case _:
                raise _fault(call, f"{_shown(value)} is no number")

    def _is_number(self, value: Any) -> bool:
        match value:
            case {"node": int(number)} if len(value) == 1 and type(number) is int:
                return 0 <= number < len(self._results) and self._results[number].kind == "number"
            case _:
                return False

    def _result(self, call: Call, number: int) -> Result:
        if type(number) is not int or not 0 <= number < len(self._results):
            raise _fault(call, f"it reads the value {_shown(number)}; a call reads the values of earlier calls alone")
        return self._results[number]


def _text(call: Call, argument: Argument, value: str) -> str:
    if call.target == "aten.einsum.default":
        if _EQUATION.fullmatch(value):
            return value
        raise _fault(call, f"{_shown(value)} is no equation of at most 8 tensors")
    choices: Mapping[tuple[str, str], tuple[str, ...]] = STRINGS
    allowed = choices.get((call.target, argument.name), ())
    if value not in allowed:
        raise _fault(call, f"{argument.name} cannot be {_shown(value)}; allowed: {', '.join(allowed)}")
    return value


def _shown(value: Any) -> str:
    return ascii(value)[:60]


def _fault(call: Call, why: str) -> NetworkError:
    where = f" in {call.owner}" if call.owner else ""
    return NetworkError(f"the call of {call.target}{where} is invalid: {why}")
