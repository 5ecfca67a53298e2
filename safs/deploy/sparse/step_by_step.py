"""Run a network step by step in Python, each step in its way."""

from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.fx import Node
from torch.fx.node import map_arg

from safs.deploy.sparse.lanes.linear import LaneLinear
from safs.deploy.sparse.planes import Memory, Planes, pixel_mask, to_images, to_planes
from safs.deploy.sparse.steps import Addition, Convolution, Elementwise, Linear, Step, last_uses

Value: TypeAlias = Any
"""A tensor, ``Planes``, or what a network computes from shapes."""
Way: TypeAlias = str
"""``dense``, ``channels_last``, ``sparse``, ``csr`` or ``lanes``."""
Plan: TypeAlias = tuple[Way, ...]
"""The way of each step."""


class StepByStep:
    """Runs steps; memory of values in the layout of ``planes`` is kept between calls.

    Args:
        steps: of the network, in order.
        ends: nodes of the input and of the output.
        pad: padding that all sparse convolutions can read.
    """

    def __init__(self, steps: list[Step], ends: tuple[Node, Node], pad: int) -> None:
        self._steps, self._pad = steps, pad
        self._input, self._output = ends
        self._last_use = last_uses(steps, self._output)
        self._memory = Memory()
        self._linears: dict[Node, LaneLinear] = {}

    @torch.inference_mode()
    def run(self, images: Tensor, plan: Plan, keep: dict[Node, Value] | None = None) -> Tensor:
        """The outputs by a plan.

        Args:
            keep: gets the value of every node.
        """
        values: dict[Node, Value] = {self._input: images}
        for step, way in zip(self._steps, plan, strict=True):
            values[step.node] = self.compute(step, values, way)
            if keep is None:
                for node in self._last_use.get(step.node, ()):
                    self._drop(values.pop(node), values)
        if keep is not None:
            keep.update(values)
        logits: Tensor = _images(values[self._output])
        return logits

    def _drop(self, value: Value, values: dict[Node, Value]) -> None:
        """Use the memory of a value again, unless another value has it too."""
        if isinstance(value, Planes):
            others = (other.data for other in values.values() if isinstance(other, Planes))
            if all(other is not value.data for other in others):
                self._memory.give_back(value)

    def compute(self, step: Step, values: dict[Node, Value], way: Way) -> Value:
        """The value of a step, in one of its ways."""
        match step:
            case Convolution():
                return self._convolve(
                    step, values[step.input], values.get(step.residual) if step.residual else None, way
                )
            case Linear():
                x = _images(values[step.input])
                if way == "lanes":
                    return self._in_lanes(step)(x)
                return step.csr(x) if way in ("csr", "sparse") else step.dense(x)
            case Elementwise():
                x = values[step.input]
                if not isinstance(x, Planes):
                    return step.function(x)
                y = step.function(x.data)
                return Planes(y if step.keeps_zero else y.mul_(pixel_mask(x.geometry)), x.geometry)
            case Addition():
                x, other = values[step.input], values[step.other]
                if isinstance(x, Planes) and isinstance(other, Planes) and x.geometry == other.geometry:
                    return Planes(x.data + other.data, x.geometry)
                return _images(x) + _images(other)
        arguments, named = map_arg((step.node.args, step.node.kwargs), lambda node: _images(values[node]))
        return step.run(*arguments, **named)

    def _in_lanes(self, step: Linear) -> LaneLinear:
        if step.node not in self._linears:
            self._linears[step.node] = LaneLinear(step.weight, step.bias)
        return self._linears[step.node]

    def _convolve(self, step: Convolution, x: Value, residual: Value | None, way: Way) -> Value:
        size = (x.geometry.height, x.geometry.width) if isinstance(x, Planes) else x.shape[2:]
        if way != "sparse" or step.sparse is None or not step.sparse.takes(*size):
            other = None if residual is None else _images(residual)
            return step.dense(_images(x), other, channels_last=way == "channels_last")
        if residual is None:
            return step.sparse(x, None, step.fused, pad=self._pad, memory=self._memory)
        source = step.sparse.source(x, max(self._pad, step.sparse.pad))
        geometry = step.sparse.output_geometry(x, source.geometry)
        if not isinstance(residual, Planes):
            residual = to_planes(residual, geometry.pad)
        if residual.geometry == geometry:
            return step.sparse.apply(source, geometry, residual, step.fused, self._memory)
        y = _images(step.sparse(x, pad=self._pad)).add_(_images(residual))
        return y if step.activation is None else step.activation(y)


def _images(value: Value) -> Value:
    return to_images(value) if isinstance(value, Planes) else value
