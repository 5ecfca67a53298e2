"""The actions of a chain that run in Python."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from torch import Tensor
from torch.fx import Node
from torch.fx.node import map_arg

from safs.deploy.sparse.activation import FusedActivation
from safs.deploy.sparse.lanes.linear import LaneLinear
from safs.deploy.sparse.steps import Addition, Convolution, Elementwise, Linear, Other, Step

Values: TypeAlias = dict[Node, Any]
Action: TypeAlias = Callable[[Values], None]
"""Reads and writes values of nodes."""


def forget(nodes: Sequence[Node], values: Values) -> None:
    """Drop values that nothing reads any more."""
    for node in nodes:
        values.pop(node, None)


def finish(activation: FusedActivation, target: Tensor, mask: Tensor, values: Values) -> None:
    """Apply what a convolution has not applied of its activation, in place."""
    activation.finish(target, mask)


def in_python(step: Step, way: str) -> Action:
    """The action that runs a step on ordinary tensors."""
    linear = LaneLinear(step.weight, step.bias) if isinstance(step, Linear) and way == "lanes" else None

    def run(values: Values) -> None:
        match step:
            case Convolution():
                residual = None if step.residual is None else values[step.residual]
                value = step.dense(values[step.input], residual, channels_last=way == "channels_last")
            case Linear() if linear is not None:
                value = linear(values[step.input])
            case Linear():
                value = step.csr(values[step.input]) if way == "csr" else step.dense(values[step.input])
            case Elementwise():
                value = step.function(values[step.input])
            case Addition():
                value = values[step.input] + values[step.other]
            case Other():
                arguments, named = map_arg((step.node.args, step.node.kwargs), values.__getitem__)
                value = step.run(*arguments, **named)
        values[step.node] = value

    return run
