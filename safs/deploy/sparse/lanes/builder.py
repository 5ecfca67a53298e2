"""Build the operations of a network in lanes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node

from safs.activations.module import Activation
from safs.deploy.sparse.activation import FusedActivation, fused
from safs.deploy.sparse.convolution import ConvolutionShape
from safs.deploy.sparse.lanes import moves
from safs.deploy.sparse.lanes.buffers import Buffer, Buffers, Place
from safs.deploy.sparse.lanes.gates import gate_of
from safs.deploy.sparse.lanes.layout import LANES, VECTOR_BYTES, Lanes, lanes_for
from safs.deploy.sparse.lanes.memory import Constants
from safs.deploy.sparse.lanes.paddings import paddings
from safs.deploy.sparse.lanes.program import BLOCK, INPUT, OUTPUT, Program
from safs.deploy.sparse.lanes.taps import fits, taps_of
from safs.deploy.sparse.steps import (
    COPIES,
    PRODUCTS,
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
        self.work = 0
        """Multiply-adds of vectors in one block."""
        self._values, self._images = values, images
        self._buffers: dict[Node, Buffer] = {}
        self._applied: set[Node] = set()
        """Linear layers that apply the activation behind them."""
        self._memory, self._constants = Buffers(), Constants()
        self._program = Program(self._constants)
        self._pads = paddings(steps, values)
        self._read_images(ends[0])
        uses = last_uses(list(steps), ends[1])
        for step, following in zip(steps, [*steps[1:], None], strict=True):
            self._buffers[step.node] = self._compute(step, activation_behind(step, following))
            for node in uses.get(step.node, ()):
                if node in self._buffers:
                    self._memory.give_back(self._buffers.pop(node))
        self._write_logits(ends[1])
        self._flush()
        self.block_bytes = self._memory.size_bytes

    def _compute(self, step: Step, behind: Activation | None) -> Buffer:
        match step:
            case Convolution():
                return self._convolve(step)
            case Linear() if self._values[step.input].dim() == 2:
                weight, source = step.weight[:, :, None, None], self._buffers[step.input]
                target = self._take(len(weight), source.lanes)
                self._add_layer(weight, step.bias, 1, _POINTWISE, source, target, None, behind)
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
            case Other() if self._is_product(step):
                return self._multiply(step)
            case Other() if step.node.op == "call_method" and step.node.target in COPIES:
                return self._copy(step.input)
            case Other() if step.flattens and self._values[step.input].dim() == 4:
                return self._flatten(step)
        raise UnfitStepError(str(step.node))

    def _convolve(self, step: Convolution) -> Buffer:
        (height, width), (rows, columns) = (self._values[node].shape[2:] for node in (step.input, step.node))
        own, (down, right) = self._buffers[step.input], step.shape.stride
        lanes = replace(own.lanes, pad=self._pads[step.input])
        divides = rows % lanes.down == 0 and columns % lanes.across == 0
        if lanes.parts > 1 and not (divides and (height, width) == (rows * down, columns * right)):
            lanes = Lanes(self._images, 1, 1, height, width, lanes.pad)
        source = self._as(step.input, lanes)
        to = replace(lanes, rows=rows // lanes.down, columns=columns // lanes.across, pad=self._pads[step.node])
        residual = None if step.residual is None else self._as(step.residual, to)
        target = self._take(len(step.weight), to)
        self._add_layer(step.weight, step.bias, step.groups, step.shape, source, target, residual, step.activation)
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
        activation: Activation | None,
    ) -> None:
        gate = None if activation is None else gate_of(activation)
        simple = FusedActivation() if activation is None or gate is not None else fused(activation)
        taps = taps_of(weight, groups, shape, source.lanes, (target.lanes.rows, target.lanes.columns))
        self.work += len(taps.taps) * target.lanes.rows * target.lanes.columns
        clamp = simple.low, simple.high, simple.gain
        self._program.convolve(taps, np.array(bias.numpy(), np.float32), shape.stride, source, target, residual, clamp)
        if gate is None:
            self._finish(target, simple)
        else:
            self._program.apply(gate, target)
            self._fill(target, gate.keeps_zero)

    def _activate(self, step: Elementwise) -> Buffer:
        target = self._copy(step.input)
        gate = gate_of(step.function) if isinstance(step.function, Activation) else None
        if gate is None:
            self._finish(target, FusedActivation(function=step.function, keeps_zero=step.keeps_zero))
        else:
            self._program.apply(gate, target)
            self._fill(target, gate.keeps_zero)
        return target

    def _copy(self, node: Node) -> Buffer:
        source = self._buffers[node]
        target = self._take(source.channels, source.lanes)
        self._program.copy(source, target)
        return target

    def _multiply(self, step: Other) -> Buffer:
        """The product of images with a factor for each channel of each image."""
        one, other = step.node.all_input_nodes
        if self._shape(one)[1:] == (1, 1):
            one, other = other, one
        source, factors = self._buffers[one], self._buffers[other]
        target = self._take(source.channels, source.lanes)
        if source.lanes.parts == factors.lanes.parts == 1:
            self._program.scale(source, factors, target)
            return target
        spread = self._take(source.channels, _features(LANES))
        table = moves.spread(factors.lanes, source.lanes)
        self._program.reduce(_place(factors), _place(spread), source.channels, table)
        self._program.scale(source, spread, target)
        self._memory.give_back(spread)
        return target

    def _is_product(self, step: Other) -> bool:
        node = step.node
        shapes = [self._shape(one) for one in node.all_input_nodes]
        two = len(shapes) == len(node.args) == 2 and not node.kwargs and all(len(shape) == 3 for shape in shapes)
        return (
            node.target in PRODUCTS
            and two
            and shapes[0][0] == shapes[1][0]
            and (1, 1) in (shapes[0][1:], shapes[1][1:])
        )

    def _finish(self, buffer: Buffer, activation: FusedActivation) -> None:
        """Apply the part of the activation that the convolution has not, and fill the padding."""
        if activation.function is not None:
            self._flush()
            first, count = buffer.position // 4, buffer.size // 4
            self.actions.append(partial(_apply, activation, first, count, buffer.channels))
        self._fill(buffer, activation.keeps_zero)

    def _fill(self, buffer: Buffer, keeps_zero: bool) -> None:
        """Fill the padding, unless it has zeros already."""
        if buffer.lanes.parts > 1 or not keeps_zero:
            self._program.fill_borders(buffer)

    def _pool(self, step: Other) -> Buffer:
        assert step.pool is not None
        source, (rows, columns) = self._buffers[step.input], self._values[step.node].shape[2:]
        window = step.pool.window or (source.lanes.height, source.lanes.width)
        lanes = lanes_for(self._images, rows, columns, self._pads[step.node])
        target = self._take(source.channels, lanes)
        table = moves.pooled(source.lanes, lanes, window, step.pool.stride or window)
        largest = step.pool.kind == "max"
        self._reduce(source, target, table, largest=largest, scale=1.0 if largest else 1.0 / (window[0] * window[1]))
        return target

    def _flatten(self, step: Other) -> Buffer:
        source = self._buffers[step.input]
        pixels = source.lanes.height * source.lanes.width
        target = self._take(source.channels * pixels, _features(self._images))
        to = replace(_place(target), channel_bytes=pixels * VECTOR_BYTES)
        self._program.reduce(_place(source), to, source.channels, moves.flattened(source.lanes))
        return target

    def _as(self, node: Node, lanes: Lanes) -> Buffer:
        """The value of a node in a layout."""
        source = self._buffers[node]
        if source.lanes == lanes:
            return source
        target = self._take(source.channels, lanes)
        self._reduce(source, target, moves.same_pixels(source.lanes, lanes))
        self._memory.give_back(source)
        self._buffers[node] = target
        return target

    def _reduce(
        self, source: Buffer, target: Buffer, table: np.ndarray, *, largest: bool = False, scale: float = 1.0
    ) -> None:
        vectors = moves.whole_vectors(table, source.lanes, target.lanes)
        if vectors is None:
            lanes, rows = 1, table.reshape(-1, table.shape[-1])
        else:
            lanes, rows = LANES, vectors
        places = _place(source), _place(target)
        self._program.reduce(*places, source.channels, rows, largest=largest, lanes=lanes, scale=scale)
        self._fill(target, keeps_zero=True)

    def _read_images(self, node: Node) -> None:
        sizes = self._values[node].shape[1:]
        if len(sizes) not in (1, 3):
            raise UnfitStepError(str(node))
        channels, height, width = (*sizes, 1, 1)[:3]
        lanes = lanes_for(self._images, height, width, self._pads.get(node, 0))
        target = self._buffers[node] = self._take(channels, lanes if len(sizes) == 3 else _features(self._images))
        source = Place(INPUT, 0, 4 * height * width)
        self._program.reduce(source, _place(target), channels, moves.images_to(target.lanes, channels))
        self._fill(target, keeps_zero=True)

    def _write_logits(self, node: Node) -> None:
        source = self._buffers[node]
        if self._values[node].dim() != 2:
            raise UnfitStepError(str(node))
        table = moves.logits(self._images, source.channels)
        self._program.reduce(_place(source), Place(OUTPUT, 0, 4), source.channels, table)

    def _take(self, channels: int, lanes: Lanes) -> Buffer:
        if not fits(channels, lanes):
            raise UnfitStepError("activations that are too large")
        return self._memory.take(channels, lanes)

    def _flush(self) -> None:
        if len(self._program):
            self.actions.append(self._program)
        self._program = Program(self._constants)

    def _shape(self, node: Node) -> tuple[int, ...]:
        return tuple(self._values[node].shape[1:])


@torch.inference_mode()
def _apply(activation: FusedActivation, first: int, count: int, channels: int, block: Tensor) -> None:
    activation.finish(block[first : first + count].view(channels, -1), torch.ones(()))


def _features(images: int) -> Lanes:
    return Lanes(images, 1, 1, 1, 1, 0)


def _place(buffer: Buffer) -> Place:
    return Place(BLOCK, buffer.position, buffer.lanes.channel_bytes)
