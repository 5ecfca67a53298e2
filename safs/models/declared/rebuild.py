"""Builds a network from its document: modules and operations from closed tables, names that were checked, no code."""

from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.fx import Graph, Node

from safs.errors import NetworkError, UnsupportedOperationError
from safs.graphs import GraphNetwork, set_graphs
from safs.models.declared import document as documents
from safs.models.declared.arguments import Arguments, Result
from safs.models.declared.document import Call, DeclaredTensor, Document
from safs.models.declared.modules import CONTAINER, build_module
from safs.models.declared.nearest import nearest
from safs.models.declared.operations import Operation, operations
from safs.models.declared.writes import MODULE, check_writes


def rebuild(document: Document, tensors: Mapping[str, Tensor]) -> GraphNetwork:
    """The network in train mode, with fresh weights in its modules, drawn from torch's global generator.

    Under ``torch.device("meta")`` it takes no memory.

    Args:
        tensors: values of ``document.tensors`` by path; they are copied.

    Raises:
        UnsupportedOperationError: the document names an operation or a module that the tables do not have.
        NetworkError: the document is inconsistent.
    """
    network = GraphNetwork()
    kinds = {"": CONTAINER}
    for declared in document.modules:
        parent, leaf = _place(network, kinds, declared.path)
        parent.add_module(leaf, build_module(declared))
        kinds[declared.path] = declared.kind
    for tensor in document.tensors:
        parent, leaf = _place(network, kinds, tensor.path)
        _register(parent, leaf, tensor, tensors[tensor.path])
    names = frozenset(name for name, _ in (*network.named_parameters(), *network.named_buffers()))
    parameters = frozenset(name for name, _ in network.named_parameters())
    callable_paths = frozenset(path for path, kind in kinds.items() if kind != CONTAINER)
    check_writes(document, parameters)
    set_graphs(
        network,
        eval_graph=_graph(document.eval_graph, names, callable_paths),
        train_graph=_graph(document.train_graph, names, callable_paths),
    )
    return network


@lru_cache(maxsize=8)
def read_cached(text: str) -> Document:
    """The document in ``text``; the last eight are kept, since every trial builds the same network."""
    return documents.read(text)


def _place(network: nn.Module, kinds: Mapping[str, str], path: str) -> tuple[nn.Module, str]:
    """The module that gets a member, and the member's name there."""
    parent_path, _, leaf = path.rpartition(".")
    if parent_path not in kinds:
        raise NetworkError(f"{path} belongs to {parent_path!r}, which is not listed before it")
    parent = network.get_submodule(parent_path)
    taken = (parent._modules, parent._parameters, parent._buffers, parent.__dict__)
    if any(leaf in names for names in taken) or leaf in dir(type(parent)):
        raise NetworkError(f"the name {path} is taken")
    return parent, leaf


def _register(parent: nn.Module, leaf: str, declared: DeclaredTensor, value: Tensor) -> None:
    if list(value.shape) != declared.shape or str(value.dtype) != f"torch.{declared.dtype}":
        raise NetworkError(
            f"{declared.path} is {value.dtype} of shape {list(value.shape)}; the document says {declared.dtype} of "
            f"shape {declared.shape}"
        )
    device = torch.get_default_device()
    value = torch.empty_like(value, device=device) if device.type == "meta" else value.detach().clone()
    if declared.kind == "parameter":
        if not value.is_floating_point():
            raise NetworkError(f"{declared.path} is a parameter of {declared.dtype}; parameters hold floats")
        parent.register_parameter(leaf, nn.Parameter(value, requires_grad=declared.trained))
    else:
        parent.register_buffer(leaf, value, persistent=declared.kind == "buffer")


def _graph(declared: documents.Graph, tensors: frozenset[str], modules: frozenset[str]) -> Graph:
    graph = Graph()
    images = graph.placeholder("images")
    results = [Result(images, "tensor")]
    device = _device(graph, images) if any(_makes_a_tensor(call) for call in declared.calls) else None
    arguments = Arguments(graph, results, tensors)
    for number, call in enumerate(declared.calls, 1):
        name = f"v{number}"
        if call.target == MODULE:
            node, kind = _module_call(graph, call, arguments, modules, name), "tensor"
        else:
            operation = _operation(call)
            args, kwargs = arguments.read(call, operation)
            if operation.makes:
                kwargs["device"] = device
            node = graph.create_node("call_function", operation.function, args, kwargs, name=name)
            kind = operation.returns
        node.meta |= {"owner": call.owner, "line": str(call.line)}
        results.append(Result(node, kind))  # type: ignore[arg-type]  # mypy widens the literal
    if declared.output >= len(results) or results[declared.output].kind != "tensor":
        raise NetworkError(f"the graph returns the value {declared.output}, which is no tensor")
    graph.output(results[declared.output].node)
    for node in graph.nodes:
        node.meta.setdefault("owner", "")
        node.meta.setdefault("line", "")
    return graph


def _device(graph: Graph, images: Node) -> Node:
    return graph.create_node("call_function", getattr, (images, "device"), name="device")


def _makes_a_tensor(call: Call) -> bool:
    return (found := operations().get(call.target)) is not None and found.makes


def _module_call(graph: Graph, call: Call, arguments: Arguments, modules: frozenset[str], name: str) -> Node:
    if call.module not in modules:
        raise NetworkError(f"a graph calls the module {call.module}, which the document does not list")
    if len(call.args) != 1 or call.kwargs:
        raise NetworkError(f"the call of {call.module} must have one argument")
    return graph.create_node("call_module", call.module, (arguments.tensor(call, call.args[0]),), name=name)


def _operation(call: Call) -> Operation:
    known = operations()
    if call.target not in known:
        where = call.owner or "the network itself"
        raise UnsupportedOperationError(
            f"{where} calls {call.target!r}, which is no supported operation.{nearest(call.target, known)}"
        )
    return known[call.target]
