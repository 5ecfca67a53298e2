"""The eval graph of a result, in which layers, activation sites and tied layers are single calls."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.fx import Graph, Node, Tracer

from safs.activations.module import Activation
from safs.errors import ExportError
from safs.models.shared_weights import SharedConv2d, SharedLinear
from safs.modes import in_mode


@dataclass(frozen=True, slots=True)
class TracedNetwork:
    """A network and its eval graph."""

    graph: Graph
    modules: Mapping[str, nn.Module]
    tensors: Mapping[str, Tensor]
    """Parameters and buffers by name; a shared weight has the name of its owner."""


class _Tracer(Tracer):
    proxy_buffer_attributes = True

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Activation | SharedConv2d | SharedLinear) or super().is_leaf_module(
            m, module_qualified_name
        )


def traced(model: nn.Module) -> TracedNetwork:
    """Trace ``model`` in eval mode.

    Raises:
        ExportError: torch.fx cannot trace it.
    """
    with in_mode(model, training=False):
        try:
            graph = _Tracer().trace(model)
        except Exception as error:  # forward is the network's own code, so it can raise anything.
            raise ExportError(f"the network cannot be traced by torch.fx: {error}") from error
    graph.eliminate_dead_code(_changes_something)
    tensors = {**dict(model.named_buffers()), **dict(model.named_parameters())}
    return TracedNetwork(graph, dict(model.named_modules()), tensors)


def _changes_something(node: Node) -> bool:
    """True if the node is needed even where its result is not: it is an input, the output, or works in place."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return node.op in ("placeholder", "output") or name.endswith("_") or name == "setitem"
