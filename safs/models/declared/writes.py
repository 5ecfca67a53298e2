"""Refuses calls that overwrite the images, or a parameter, directly or through a view."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from safs.errors import NetworkError
from safs.models.declared.document import Call, Document, Graph, Module
from safs.models.declared.operations import operations

Sources: TypeAlias = frozenset[object]
"""Values whose memory a value may share: numbers of calls (0 is the images), and names of tensors."""

MODULE = "module"
_MAY_SHARE = frozenset(
    {
        *("aten.dropout.default", "aten.feature_dropout.default", "aten.alpha_dropout.default"),
        *("aten.feature_alpha_dropout.default", "aten.type_as.default", "aten.pad.default", "aten.einsum.default"),
        *("aten.broadcast_tensors.default", "aten.meshgrid.default", "aten.meshgrid.indexing"),
        *("aten.channel_shuffle.default", "aten.pixel_shuffle.default", "aten.pixel_unshuffle.default"),
        *("aten.tile.default", "aten.repeat.default", "aten.repeat_interleave.self_int"),
    }
)
"""Operations whose result can share memory with an argument, which their schemas do not say."""
_STATISTICS = {"aten.batch_norm.default": (3, 4), "aten.instance_norm.default": (3, 4)}
"""Operations that overwrite running statistics in train mode -> positions of these."""


def check_writes(document: Document, parameters: frozenset[str]) -> None:
    """Check both graphs.

    Args:
        parameters: names of all parameters.

    Raises:
        NetworkError: a call overwrites the images or a parameter.
    """
    modules = {module.path: module for module in document.modules}
    for graph in (document.eval_graph, document.train_graph):
        _check(graph, modules, parameters)


def _check(graph: Graph, modules: Mapping[str, Module], parameters: frozenset[str]) -> None:
    sources: list[Sources] = [frozenset({0})]
    for number, call in enumerate(graph.calls, 1):
        given = _by_position(call)
        for value in _written(call, given, modules):
            for source in _sources(value, sources):
                if source == 0 or source in parameters:
                    what = "the images" if source == 0 else f"the parameter {source}"
                    raise NetworkError(f"{call.target} in {call.owner or 'the network itself'} overwrites {what}")
        shared: Sources = frozenset()
        if _may_share(call, modules):
            shared = frozenset().union(*(_sources(value, sources) for value in given))
        sources.append(shared | {number})


def _by_position(call: Call) -> list[Any]:
    """All arguments, in the order of the operation's schema as far as it has one."""
    operation = operations().get(call.target)
    names = [] if operation is None else [argument.name for argument in operation.arguments]
    given = dict(zip(names, call.args, strict=False)) | call.kwargs
    return [given.get(name) for name in names] or [*call.args, *call.kwargs.values()]


def _written(call: Call, given: list[Any], modules: Mapping[str, Module]) -> list[Any]:
    if call.target == MODULE:
        module = modules.get(call.module or "")
        return given if module is not None and module.arguments.get("inplace") is True else []
    if call.target in _STATISTICS:
        return [given[position] for position in _STATISTICS[call.target]]
    operation = operations().get(call.target)
    arguments = () if operation is None else operation.arguments
    return [value for argument, value in zip(arguments, given, strict=False) if argument.is_written]


def _may_share(call: Call, modules: Mapping[str, Module]) -> bool:
    if call.target == MODULE:
        module = modules.get(call.module or "")
        return module is not None and (module.kind == "Flatten" or "inplace" in module.arguments)
    operation = operations().get(call.target)
    shares = operation is not None and any(argument.is_written or argument.is_view for argument in operation.arguments)
    return shares or call.target in _MAY_SHARE


def _sources(value: Any, sources: list[Sources]) -> Sources:
    match value:
        case {"node": int(number)} if 0 <= number < len(sources):
            return sources[number]
        case {"tensor": str(name)}:
            return frozenset({name})
        case list():
            return frozenset().union(*(_sources(item, sources) for item in value))
        case _:
            return frozenset()
