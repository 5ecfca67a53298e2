"""Hidden widths of perceptrons inside a network: Linear, activation (and dropout), Linear, without another reader.

These are the units that a transformer offers for removal. The channels of its residual stream cannot be removed one by
one, since each enters the statistics of LayerNorm, and attention splits channels into heads.
"""

from collections import Counter

import torch
import torch.nn.functional as F
from torch import nn
from torch.fx import Node

from safs.activations.calls import activation_call, first_argument
from safs.activations.symbolic_trace import trace
from safs.pruning.removal.units import Slot, UnitGroup


def hidden_widths(model: nn.Module) -> tuple[UnitGroup, ...]:
    """Returns one group per hidden layer, in the order of the calls; ``model`` may be on the meta device.

    Raises:
        SurgeryError: the model does not trace.
    """
    graph = trace(model, training=False).graph
    modules = dict(model.named_modules())
    calls = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    groups = []
    for node in graph.nodes:
        reader = _reader(node, modules) if _is_linear(node, modules) else None
        if reader is not None and calls[str(node.target)] == calls[str(reader.target)] == 1:
            groups.append(_group(str(node.target), str(reader.target), modules))
    return tuple(groups)


def _is_linear(node: Node, modules: dict[str, nn.Module]) -> bool:
    return node.op == "call_module" and type(modules[str(node.target)]) is nn.Linear


def _reader(node: Node, modules: dict[str, nn.Module]) -> Node | None:
    """Returns the linear layer that is the only reader of ``node``, through elementwise calls only; None if none is."""
    while len(node.users) == 1:
        user = next(iter(node.users))
        if _is_linear(user, modules):
            return user
        if first_argument(user) is not node or not _is_elementwise(user, modules):
            return None
        node = user
    return None


def _is_elementwise(node: Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module" and isinstance(modules[str(node.target)], nn.Dropout | nn.Identity):
        return True
    return node.target in (F.dropout, torch.ops.aten.dropout.default) or activation_call(node, modules) is not None


def _group(producer: str, reader: str, modules: dict[str, nn.Module]) -> UnitGroup:
    linear = modules[producer]
    units = linear.get_parameter("weight").shape[0]
    each = tuple((unit,) for unit in range(units))
    names = [name for name, _ in linear.named_parameters()]
    return UnitGroup(
        producer,
        units,
        tuple(Slot(f"{producer}.{name}", 0, each) for name in names),
        (Slot(f"{reader}.weight", 1, each),),
    )
