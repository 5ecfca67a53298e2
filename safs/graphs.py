"""Networks whose forward is a torch.fx graph: one for train mode and one for eval mode."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from inspect import ismodule
from typing import Any

from torch import Tensor, nn
from torch.fx import Graph


class GraphNetwork(nn.Module):
    """A network that brings its own graphs, so that nothing has to trace it.

    The nodes of the graphs have ``meta["owner"]``, the path of the calling module, and ``meta["line"]``, a text that is
    equal for calls from the same line of code. The graphs read the network's parameters, buffers and modules by path.
    ``set_graphs`` makes the network callable.
    """

    _safs_graphs: "_Graphs"

    def forward(self, images: Tensor) -> Tensor:
        """[batch, channels, size, size] -> logits [batch, classes]."""
        logits: Tensor = self._safs_graphs.forwards[self.training](self, images)
        return logits


def set_graphs(network: GraphNetwork, *, eval_graph: Graph, train_graph: Graph) -> None:
    """Give ``network`` the graphs that its forward runs. They must not be changed afterwards."""
    graphs = {False: eval_graph, True: train_graph}
    name = type(network).__name__
    forwards = {training: GraphForward.of(graph, f"{name}, training={training}") for training, graph in graphs.items()}
    network._safs_graphs = _Graphs(graphs, forwards)


def graph_of(network: GraphNetwork, *, training: bool) -> Graph:
    """A copy of the network's graph for one mode, with the ``meta`` of its nodes."""
    return copy.deepcopy(network._safs_graphs.graphs[training])


class GraphForward:
    """The function that torch.fx writes for a graph. Its first argument is the network.

    A compiled function cannot be pickled, so pickling keeps the source and the names that it uses.
    """

    def __init__(self, source: str, names: Mapping[str, Any], description: str) -> None:
        self._source, self._names, self._description = source, dict(names), description
        namespace = dict(names)
        exec(compile(source, f"<graph of {description}>", "exec"), namespace)
        self._function: Callable[..., Any] = namespace["forward"]

    @classmethod
    def of(cls, graph: Graph, description: str) -> "GraphForward":
        """The function of ``graph``."""
        code = graph.python_code("self")
        return cls(code.src, code.globals, description)

    def __call__(self, network: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return self._function(network, *args, **kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> "GraphForward":
        return self  # It is never changed.

    def __reduce__(self) -> tuple[Any, ...]:
        names = {name: _ModuleName(value.__name__) if ismodule(value) else value for name, value in self._names.items()}
        return _rebuild_forward, (self._source, names, self._description)


@dataclass(frozen=True, slots=True)
class _Graphs:
    """The graphs and the functions of a network, by ``training``. Copies of the network share them."""

    graphs: Mapping[bool, Graph]
    forwards: Mapping[bool, GraphForward]

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Graphs":
        return self  # They are never changed.


@dataclass(frozen=True, slots=True)
class _ModuleName:
    """Stands for a module in a pickle, which cannot hold modules."""

    name: str


def _rebuild_forward(source: str, names: Mapping[str, Any], description: str) -> GraphForward:
    modules = {name: import_module(value.name) for name, value in names.items() if isinstance(value, _ModuleName)}
    return GraphForward(source, {**names, **modules}, description)
