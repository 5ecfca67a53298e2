"""Symbolic tracing of a model in train mode and in eval mode.

torch.fx runs ``forward`` once with proxies and records the calls, so a trace takes one branch of every
``if self.training``. That is why each mode is traced, as torchvision's feature extraction does.
"""

import os
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, Node, Proxy, Tracer
from torch.overrides import TorchFunctionMode

from safs.errors import SurgeryError
from safs.graphs import GraphNetwork, graph_of
from safs.modes import in_mode


@dataclass(frozen=True, slots=True)
class Trace:
    """A model's graph in one mode."""

    graph: Graph
    constants: dict[str, Tensor]
    """Tensors that ``forward`` creates (with ``torch.arange``, for example), by the names that the graph reads."""


def trace(model: nn.Module, *, training: bool) -> Trace:
    """Trace ``model`` in train or eval mode. Its parameters, buffers and modes are unchanged.

    A ``GraphNetwork`` is not traced; it has its graphs.

    Every node's ``meta`` has ``owner``, the path of the calling module, and ``line``, the file and line of the call.

    Raises:
        SurgeryError: ``forward`` depends on tensor values, or draws random numbers independent of the input.
    """
    if isinstance(model, GraphNetwork):
        return Trace(graph_of(model, training=training), {})
    tracer = _Tracer()
    attributes = set(vars(model))
    with _TRACING, in_mode(model, training), _NoFrozenDraws():
        try:
            graph = tracer.trace(model)
        except Exception as error:  # forward is the user's code and runs with proxies, so it can raise anything.
            raise SurgeryError(_where_it_stopped(model, error)) from error
        finally:
            made = {name: vars(model).pop(name) for name in set(vars(model)) - attributes}
    return Trace(graph, _rename_constants(graph, made, "train" if training else "eval"))


class _Tracer(Tracer):
    """Records buffers as reads, since a forward may update them, and the origin of each call."""

    proxy_buffer_attributes = True

    def create_node(self, *args: Any, **kwargs: Any) -> Node:
        node = super().create_node(*args, **kwargs)
        callers = [path for path, _ in self.module_stack.values()]
        node.meta["owner"] = "".join((callers[:-1] if node.op == "call_module" else callers)[-1:])
        node.meta["line"] = _line_of_model_code(sys._getframe(1))
        return node


class _NoFrozenDraws(TorchFunctionMode):
    """Refuses random numbers independent of the input, which the trace would record as a constant."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _DRAWS and not any(isinstance(value, Proxy) for value in (*args, *kwargs.values())):
            raise RuntimeError("these random numbers would be the same in every call; draw them with torch.rand_like")
        return func(*args, **kwargs)


_DRAWS = frozenset(
    {torch.rand, torch.randn, torch.randint, torch.randperm, torch.normal, torch.bernoulli, torch.multinomial}
    | {torch.Tensor.bernoulli_, torch.Tensor.uniform_, torch.Tensor.normal_, torch.Tensor.random_}
)
_TRACING = threading.Lock()  # torch.fx patches nn.Module for the whole process while it traces.
_TRACER_FILES = (f"{Path(torch.__file__).parent}{os.sep}", __file__)  # The separator keeps torchvision out.


def _line_of_model_code(frame: FrameType | None) -> str:
    while frame is not None and frame.f_code.co_filename.startswith(_TRACER_FILES):
        frame = frame.f_back
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _where_it_stopped(model: nn.Module, error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    model_frames = [frame for frame in frames if not frame.filename.startswith(_TRACER_FILES)]
    last = model_frames[-1] if model_frames else None
    where = "its forward" if last is None else f"{last.filename}:{last.lineno}: {last.line}"
    return (
        f"{_describe(model)} cannot be traced by torch.fx; it stopped at {where} "
        f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}). "
        "A forward must not branch on, loop over or count with tensor values."
    )


def _describe(model: nn.Module) -> str:
    return f"model {type(model).__name__}"


def _rename_constants(graph: Graph, made: dict[str, Any], mode: str) -> dict[str, Tensor]:
    """Give the constants of each mode unique names, since torch.fx numbers both from 0."""
    names = {name: f"_safs_{mode}_constant{number}" for number, name in enumerate(sorted(made))}
    for node in graph.nodes:
        if node.op == "get_attr" and node.target in names:
            node.target = names[node.target]
    return {names[name]: value for name, value in made.items()}
