"""The padding that each value of a network needs."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch.fx import Node

from safs.deploy.sparse.steps import COPIES, PRODUCTS, Addition, Convolution, Elementwise, Other, Step


def paddings(steps: Sequence[Step], values: Mapping[Node, Any]) -> dict[Node, int]:
    """Node -> the pixels outside of it that convolutions read; values that are added to each other have equal ones.

    Args:
        steps: of the network, in order.
        values: the value of each node, which gives sizes.
    """
    leader: dict[Node, Node] = {}

    def find(node: Node) -> Node:
        while node in leader:
            node = leader[node]
        return node

    for step in steps:
        for other in _alike(step):
            if find(other) is not find(step.node):
                leader[find(other)] = find(step.node)
    needed: dict[Node, int] = {}
    for step in steps:
        if isinstance(step, Convolution):
            group = find(step.input)
            needed[group] = max(needed.get(group, 0), _reach(step, values))
    nodes = {node for step in steps for node in (step.node, *step.node.all_input_nodes)} | set(leader)
    nodes |= {step.input for step in steps if isinstance(step, Convolution)}
    return {node: needed.get(find(node), 0) for node in nodes}


def _alike(step: Step) -> tuple[Node, ...]:
    """Inputs that have the layout of the output."""
    match step:
        case Convolution():
            return () if step.residual is None else (step.residual,)
        case Addition():
            return step.input, step.other
        case Elementwise():
            return (step.input,)
        case Other() if step.node.target in (*PRODUCTS, *COPIES):
            return tuple(step.node.all_input_nodes)
    return ()


def _reach(step: Convolution, values: Mapping[Node, Any]) -> int:
    """Pixels that a convolution reads outside of its input."""
    reach = 0
    for axis, (before, size) in enumerate(zip(step.shape.padding, values[step.input].shape[2:], strict=True)):
        last = step.shape.stride[axis] * (values[step.node].shape[2 + axis] - 1) - before
        last += step.shape.dilation[axis] * (step.weight.shape[2 + axis] - 1)
        reach = max(reach, before, last - size + 1)
    return reach
