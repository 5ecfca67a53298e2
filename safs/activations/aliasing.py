"""Keeps the meaning of in-place calls when activations are replaced.

``relu_(x)`` changes ``x`` for every later reader, so the replacement must do the same. And ``x += y`` or an in-place
dropout after an activation must not overwrite a tensor that the activation's gradient needs. ReLU's gradient does not
need its output, but tanh's does, and the identity returns its input itself.
"""

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch._ops import OpOverload
from torch.fx import Graph, Node

from safs.activations.calls import first_argument


def replace_call(graph: Graph, node: Node, target: str, modules: Mapping[str, nn.Module], *, in_place: bool) -> Node:
    """Replace ``node``, the call of an activation, by a call of module ``target``; return the new node.

    If the old call was in place, later readers of its input read the new output instead. If they can read the input
    through an earlier view, the output is also copied into the input.
    """
    source = first_argument(node)
    assert source is not None
    write_back = in_place and _is_read_through_views(graph, node, source, modules)
    with graph.inserting_before(node):
        read = graph.call_method("clone", (source,)) if write_back else source
        new = graph.call_module(target, (read,))
        if write_back:
            graph.call_method("copy_", (source, new))
    if in_place:
        position = _positions(graph)
        source.replace_all_uses_with(new, delete_user_cb=lambda user: position[user] > position[node])
    node.replace_all_uses_with(new)
    graph.erase_node(node)
    return new


def isolate(graph: Graph, sites: Iterable[Node], modules: Mapping[str, nn.Module]) -> None:
    """Copy the input or output of every site that a later node overwrites; ``sites`` are calls out of place."""
    position = _positions(graph)
    written = [(node, _aliases(writes, modules)) for node in graph.nodes if (writes := _overwritten(node, modules))]
    for site in list(sites):
        later = [aliases for node, aliases in written if position[node] > position[site]]
        if any(site.args[0] in aliases for aliases in later):
            with graph.inserting_before(site):
                site.args = (graph.call_method("clone", (site.args[0],)),)
        if any(site in aliases for aliases in later):
            with graph.inserting_after(site):
                copy = graph.call_method("clone", (site,))
            site.replace_all_uses_with(copy)
            copy.args = (site,)


# fmt: off
_VIEW_METHODS = frozenset({
    "view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "transpose", "swapaxes", "permute",
    "movedim", "squeeze", "unsqueeze", "expand", "expand_as", "narrow", "select", "chunk", "split",
    "tensor_split", "unbind", "diagonal", "t", "contiguous", "detach", "to", "float", "type_as",
})
# fmt: on
_VIEW_FUNCTIONS = frozenset(
    {operator.getitem, getattr, F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout}
    | {function for name in _VIEW_METHODS if (function := getattr(torch, name, None)) is not None}
)
_VIEW_OPERATIONS = frozenset({"dropout.default", "feature_dropout.default", "alpha_dropout.default", "type_as.default"})
"""Operations that return their input itself in some cases, which their schemas do not say."""
_VIEW_MODULES = (nn.Identity, nn.Flatten, nn.Unflatten, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
_IN_PLACE_OPERATORS = frozenset(
    {operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ifloordiv, operator.ipow}
)


def _is_read_through_views(graph: Graph, node: Node, source: Node, modules: Mapping[str, nn.Module]) -> bool:
    position = _positions(graph)
    earlier = [other for other in _aliases(source, modules) - {source} if position[other] < position[node]]
    return any(position[user] > position[node] for other in earlier for user in other.users)


def _positions(graph: Graph) -> dict[Node, int]:
    return {node: number for number, node in enumerate(graph.nodes)}


def _aliases(node: Node, modules: Mapping[str, nn.Module]) -> set[Node]:
    """``node`` and all nodes whose values may share memory with its value."""
    found, waiting = {node}, [node]
    while waiting:
        for neighbour in _neighbours(waiting.pop(), modules):
            if neighbour not in found:
                found.add(neighbour)
                waiting.append(neighbour)
    return found


def _neighbours(node: Node, modules: Mapping[str, nn.Module]) -> Iterator[Node]:
    if (source := _passed_through(node, modules)) is not None:
        yield source
    yield from (user for user in node.users if _passed_through(user, modules) is node)


def _passed_through(node: Node, modules: Mapping[str, nn.Module]) -> Node | None:
    """The argument whose memory ``node``'s value may share: for a view, dropout in eval mode or an in-place call."""
    is_view = (
        _is_view_operation(node.target)
        or (node.op == "call_method" and node.target in _VIEW_METHODS)
        or (node.op == "call_function" and node.target in _VIEW_FUNCTIONS)
        or (node.op == "call_module" and isinstance(modules.get(str(node.target)), _VIEW_MODULES))
    )
    return first_argument(node) if is_view else _overwritten(node, modules)


def _overwritten(node: Node, modules: Mapping[str, nn.Module]) -> Node | None:
    """The argument that ``node`` overwrites; None if it overwrites nothing."""
    match node.op:
        case "call_module":
            writes = bool(getattr(modules.get(str(node.target)), "inplace", False))
        case "call_function" if isinstance(node.target, OpOverload):
            writes = node.target._schema.is_mutable
        case "call_function":
            name = getattr(node.target, "__name__", "")
            writes = node.target in _IN_PLACE_OPERATORS or _is_in_place_name(name) or _has_inplace_flag(node)
        case "call_method":
            writes = _is_in_place_name(str(node.target))
        case _:
            writes = False
    return first_argument(node) if writes else None


def _is_view_operation(target: Any) -> bool:
    """True for an operation of PyTorch's whose result may share memory with its first argument."""
    if not isinstance(target, OpOverload) or not target._schema.arguments:
        return False
    alias = target._schema.arguments[0].alias_info
    return (alias is not None and not alias.is_write) or target.__name__ in _VIEW_OPERATIONS


def _is_in_place_name(name: str) -> bool:
    return (name.endswith("_") and not name.endswith("__")) or name == "__setitem__"


def _has_inplace_flag(node: Node) -> bool:
    return bool(node.kwargs.get("inplace", False))
