"""Build the operations of a network in lanes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node

from safs.deploy.sparse.activation import FusedActivation
from safs.deploy.sparse.convolution import ConvolutionShape
from safs.deploy.sparse.lanes.layout import LANES, VECTOR_BYTES, Lanes, lanes_for
from safs.deploy.sparse.lanes.memory import Constants, Plan
from safs.deploy.sparse.lanes.program import BLOCK, INPUT, OUTPUT, Buffer, Place, Program
from safs.deploy.sparse.lanes.taps import fits, taps_of
from safs.deploy.sparse.steps import (
    Addition,
    Convolution,
    Elementwise,
    Linear,
    Other,
    Step,
    activation_behind,
    last_uses,
)

Action: TypeAlias = Program | Callable[[Tensor], None]
"""A program, or a function of the block of memory as a vector of float32 values."""
_POINTWISE = ConvolutionShape((1, 1), (0, 0), (1, 1))
_EDGE = VECTOR_BYTES
"""Bytes before and after all buffers, since copies of lanes begin and end up to a vector away."""


class UnfitStepError(Exception):
    """A step has no form in lanes."""


class Builder:
    """Builds the actions of a network for a number of images.

    Args:
        steps: of the network, in order.
        ends: nodes of the images and of the logits.
        values: the value of each node for any number of images; sizes are read.
        images: 1, 2, 4, 8 or 16.

    Raises:
        UnfitStepError: if a step has no form in lanes.
    """

    def __init__(self, steps: Sequence[Step], ends: tuple[Node, Node], values: Mapping[Node, Any], images: int) -> None:
        self.actions: list[Action] = []
        self._values, self._images = values, images
        self._buffers: dict[Node, Buffer] = {}
        self._applied: set[Node] = set()
        """Linear layers that apply the activation behind them."""
        self._plan, self._constants = Plan(_EDGE), Constants()
        self._zeroed: dict[tuple[int, Lanes], list[Buffer]] = {}
        """Free buffers whose padding is never written."""
        self._program = Program(self._constants)
        self._pad = max((_reach(step, values) for step in steps), default=0)
        self._read_images(ends[0])
        uses = last_uses(list(steps), ends[1])
        for step, following in zip(steps, [*steps[1:], None], strict=True):
            self._buffers[step.node] = self._compute(step, activation_behind(step, following))
            for node in uses.get(step.node, ()):
                if node in self._buffers:
                    self._give_back(self._buffers.pop(node))
        self._write_logits(ends[1])
        self._flush()
        self.block_bytes = self._plan.end + _EDGE

    def _compute(self, step: Step, behind: FusedActivation | None) -> Buffer:
        match step:
            case Convolution():
                return self._convolve(step)
            case Linear() if self._values[step.input].dim() == 2:
                weight, source = step.weight[:, :, None, None], self._buffers[step.input]
                target = self._take(len(weight), source.lanes)
                self._add_layer(weight, step.bias, 1, _POINTWISE, source, target, None, behind or FusedActivation())
                if behind is not None:
                    self._applied.add(step.node)
                return target
            case Elementwise() if step.input in self._applied:
                return self._buffers.pop(step.input)
            case Elementwise():
                return self._activate(step)
            case Addition() if self._shape(step.input) == self._shape(step.other):
                one = self._buffers[step.input]
                other, target = self._as(step.other, one.lanes), self._take(one.channels, one.lanes)
                self._program.add(one, other, target)
                return target
            case Other() if step.pool is not None:
                return self._pool(step)
            case Other() if step.flattens and self._values[step.input].dim() == 4:
                return self._flatten(step)
        raise UnfitStepError(str(step.node))

    def _convolve(self, step: Convolution) -> Buffer:
        (height, width), (rows, columns) = (self._values[node].shape[2:] for node in (step.input, step.node))
        own, (down, right) = self._buffers[step.input], step.shape.stride
        lanes = own.lanes
        divides = rows % lanes.down == 0 and columns % lanes.across == 0
        if lanes.parts > 1 and not (divides and (height, width) == (rows * down, columns * right)):
            lanes = Lanes(self._images, 1, 1, height, width, self._pad)
        source = self._as(step.input, lanes)
        to = replace(lanes, rows=rows // lanes.down, columns=columns // lanes.across)
        residual = None if step.residual is None else self._as(step.residual, to)
        target = self._take(len(step.weight), to)
        self._add_layer(step.weight, step.bias, step.groups, step.shape, source, target, residual, step.fused)
        return target

    def _add_layer(
        self,
        weight: Tensor,
        bias: Tensor,
        groups: int,
        shape: ConvolutionShape,
        source: Buffer,
        target: Buffer,
        residual: Buffer | None,
        activation: FusedActivation,
    ) -> None:
        taps = taps_of(weight, groups, shape, source.lanes, (target.lanes.rows, target.lanes.columns))
        clamp = activation.low, activation.high, activation.gain
        self._program.convolve(taps, np.array(bias.numpy(), np.float32), shape.stride, source, target, residual, clamp)
        self._finish(target, activation)

    def _activate(self, step: Elementwise) -> Buffer:
        source = self._buffers[step.input]
        target = self._take(source.channels, source.lanes)
        self._program.copy(source, target)
        self._finish(target, FusedActivation(function=step.function, keeps_zero=step.keeps_zero))
        return target

    def _finish(self, buffer: Buffer, activation: FusedActivation) -> None:
        """Apply the part of the activation that the convolution has not, and fill the padding."""
        if activation.function is not None:
            self._flush()
            first, count = buffer.position // 4, buffer.size // 4
            self.actions.append(partial(_apply, activation, first, count, buffer.channels))
        if buffer.lanes.parts > 1 or not activation.keeps_zero:
            self._program.fill_borders(buffer)

    def _pool(self, step: Other) -> Buffer:
        assert step.pool is not None
        source, (rows, columns) = self._buffers[step.input], self._values[step.node].shape[2:]
        window = step.pool.window or (source.lanes.height, source.lanes.width)
        stride = step.pool.stride or window
        lanes = lanes_for(self._images, rows, columns, self._pad)
        read = source.lanes.positions()
        to_row, to_column = (step * (count - 1) + 1 for step, count in zip(stride, (rows, columns), strict=True))
        inputs = [
            read[:, row : row + to_row : stride[0], column : column + to_column : stride[1]]
            for row in range(window[0])
            for column in range(window[1])
        ]
        target = self._take(source.channels, lanes)
        scale = 1.0 if step.pool.kind == "max" else 1.0 / len(inputs)
        self._reduce(source, target, [lanes.positions(), *inputs], largest=step.pool.kind == "max", scale=scale)
        return target

    def _flatten(self, step: Other) -> Buffer:
        source = self._buffers[step.input]
        count, pixels = source.channels, source.lanes.height * source.lanes.width
        target = self._take(count * pixels, _features(self._images))
        read = source.lanes.positions().reshape(self._images, pixels)
        write = np.arange(pixels) * LANES + np.arange(self._images)[:, None]
        to = replace(_place(target), channel_bytes=pixels * VECTOR_BYTES)
        table = np.stack([write, read], -1).reshape(-1, 2)
        self._program.reduce(_place(source), to, count, table, largest=False, lanes=1, scale=1.0)
        return target

    def _as(self, node: Node, lanes: Lanes) -> Buffer:
        """The value of a node in a layout."""
        source = self._buffers[node]
        if source.lanes == lanes:
            return source
        target = self._take(source.channels, lanes)
        self._reduce(source, target, [lanes.positions(), source.lanes.positions()], largest=False, scale=1.0)
        self._give_back(source)
        self._buffers[node] = target
        return target

    def _reduce(self, source: Buffer, target: Buffer, places: list[np.ndarray], *, largest: bool, scale: float) -> None:
        table = np.stack(places, -1)
        grid = target.lanes
        lanes, whole = 1, table.reshape(-1, len(places))
        if (grid.down, grid.across) == (source.lanes.down, source.lanes.across):
            first = table[0, : grid.rows, : grid.columns].reshape(-1, len(places))  # of the first lane
            every = np.concatenate([first + lane for lane in range(grid.parts * grid.images)])
            if np.array_equal(np.sort(every, 0), np.sort(whole, 0)):
                lanes, whole = LANES, first
        self._program.reduce(
            _place(source), _place(target), source.channels, whole, largest=largest, lanes=lanes, scale=scale
        )
        if grid.parts > 1:
            self._program.fill_borders(target)

    def _read_images(self, node: Node) -> None:
        sizes = self._values[node].shape[1:]
        if len(sizes) not in (1, 3):
            raise UnfitStepError(str(node))
        channels, height, width = (*sizes, 1, 1)[:3]
        lanes = lanes_for(self._images, height, width, self._pad) if len(sizes) == 3 else _features(self._images)
        target = self._buffers[node] = self._take(channels, lanes)
        pixels = height * width
        read = np.arange(self._images)[:, None, None] * (channels * pixels) + np.arange(pixels).reshape(height, width)
        table = np.stack([lanes.positions(), read], -1).reshape(-1, 2)
        source = Place(INPUT, 0, 4 * pixels)
        self._program.reduce(source, _place(target), channels, table, largest=False, lanes=1, scale=1.0)
        if lanes.parts > 1:
            self._program.fill_borders(target)

    def _write_logits(self, node: Node) -> None:
        source = self._buffers[node]
        if self._values[node].dim() != 2:
            raise UnfitStepError(str(node))
        images = np.arange(self._images)
        table = np.stack([images * source.channels, images], -1)
        target = Place(OUTPUT, 0, 4)
        self._program.reduce(_place(source), target, source.channels, table, largest=False, lanes=1, scale=1.0)

    def _take(self, channels: int, lanes: Lanes) -> Buffer:
        free = self._zeroed.get((channels, lanes))
        if free:
            return free.pop()
        if not fits(channels, lanes):
            raise UnfitStepError("activations that are too large")
        size, unused = channels * lanes.channel_bytes, _keeps_padding(lanes)
        return Buffer(self._plan.take(size, unused=unused), channels, lanes)

    def _give_back(self, buffer: Buffer) -> None:
        if _keeps_padding(buffer.lanes):
            self._zeroed.setdefault((buffer.channels, buffer.lanes), []).append(buffer)
        else:
            self._plan.give_back(buffer.position, buffer.size)

    def _flush(self) -> None:
        if len(self._program):
            self.actions.append(self._program)
        self._program = Program(self._constants)

    def _shape(self, node: Node) -> tuple[int, ...]:
        return tuple(self._values[node].shape[1:])


def _apply(activation: FusedActivation, first: int, count: int, channels: int, block: Tensor) -> None:
    activation.finish(block[first : first + count].view(channels, -1), torch.ones(()))


def _keeps_padding(lanes: Lanes) -> bool:
    """True if the padding of a buffer has zeros from the begin, which nothing writes."""
    return lanes.pad > 0 and lanes.parts == 1


def _features(images: int) -> Lanes:
    return Lanes(images, 1, 1, 1, 1, 0)


def _place(buffer: Buffer) -> Place:
    return Place(BLOCK, buffer.position, buffer.lanes.channel_bytes)


def _reach(step: Step, values: Mapping[Node, Any]) -> int:
    """Pixels that a convolution reads outside of its input."""
    if not isinstance(step, Convolution):
        return 0
    reach = 0
    for axis, (before, size) in enumerate(zip(step.shape.padding, values[step.input].shape[2:], strict=True)):
        last = step.shape.stride[axis] * (values[step.node].shape[2 + axis] - 1) - before
        last += step.shape.dilation[axis] * (step.weight.shape[2 + axis] - 1)
        reach = max(reach, before, last - size + 1)
    return reach
