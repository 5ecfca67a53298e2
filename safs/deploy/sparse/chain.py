"""A network by one plan for batches of one shape, with its sparse layers as programs on memory that is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from safs.activations.module import Activation
from safs.deploy.sparse.actions import Action, Values, finish, forget, in_python
from safs.deploy.sparse.activation import FusedActivation, fused
from safs.deploy.sparse.convolution import SparseConvolution
from safs.deploy.sparse.planes import Geometry, Memory, Planes, pixel_mask
from safs.deploy.sparse.program import Pixels, Program, of_images, of_planes
from safs.deploy.sparse.steps import (
    Convolution,
    Linear,
    Other,
    Step,
    activation_behind,
    inputs_of,
    last_uses,
)

_NONE = FusedActivation()


class Chain:
    """Runs the steps of a network; one object serves one batch shape and one thread at a time.

    Args:
        steps: of the network, in order.
        ways: way of each step; ``sparse`` steps become parts of programs, and so do the pooling, the linear layers and
            the changes of layout between them.
        values: the value of each node for a batch of this shape.
        pad: padding that all sparse convolutions can read.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        ways: Sequence[str],
        ends: tuple[Node, Node],
        values: Mapping[Node, Any],
        pad: int,
    ) -> None:
        self._input, self._output = ends
        self._builder = _Builder(values, pad)
        uses = last_uses(list(steps), self._output)
        skipped: set[Node] = set()
        for place, (step, way) in enumerate(zip(steps, ways, strict=True)):
            if step.node in skipped:
                continue
            following = steps[place + 1] if place + 1 < len(steps) else None
            activation = activation_behind(step, following)
            if not self._builder.add(step, way, activation):
                self._builder.add_in_python(step, way)
            elif activation is not None and isinstance(step, Linear):
                assert following is not None
                skipped.add(following.node)
                self._builder.rename(step.node, following.node)
                self._builder.drop(uses.get(following.node, ()))
            self._builder.drop(uses.get(step.node, ()))
        self._actions = self._builder.finish(self._output)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """float32 images of the shape -> logits."""
        values: Values = {self._input: images}
        for action in self._actions:
            action(values)
        logits: Tensor = values[self._output]
        return logits.clone()  # the memory is used again

    @property
    def calls(self) -> int:
        """Number of actions: programs, and steps in Python."""
        return len(self._actions)


@dataclass(slots=True)
class _Segment:
    """A program with its inputs and outputs."""

    program: Program = field(default_factory=Program)
    inputs: list[Node] = field(default_factory=list)
    outputs: list[tuple[Node, Tensor]] = field(default_factory=list)

    def __call__(self, values: Values) -> None:
        given = {str(node): values[node].contiguous() for node in self.inputs}
        self.program.run(given)
        values.update(self.outputs)


class _Builder:
    """Builds the actions of a chain step by step."""

    def __init__(self, values: Mapping[Node, Any], pad: int) -> None:
        self._values, self._pad = values, pad
        self._actions: list[Action] = []
        self._segment = _Segment()
        self._memory = Memory()
        self._planes: dict[Node, Planes] = {}
        """Values that are in the layout of ``planes``."""
        self._phases: dict[tuple[Node, int], tuple[Planes, tuple[tuple[int, int], ...]]] = {}
        self._images: set[Node] = set()
        """Nodes of ``_planes`` that Python has as images too."""
        self._stale: list[Node] = []
        """Nodes whose values in Python are not needed after the current program."""

    def add(self, step: Step, way: str, activation: Activation | None) -> bool:
        """Add a step to the current program; False if it cannot be part of one."""
        match step:
            case Convolution() if way == "sparse" and step.sparse is not None:
                return self._add_convolution(step, step.sparse)
            case Linear() if way == "sparse" and self._values[step.input].dim() == 2:
                return self._add_linear(step, _NONE if activation is None else fused(activation))
            case Other() if step.pool is not None and step.input in self._planes:
                return self._add_pool(step)
            case Other() if step.flattens and step.input in self._planes:
                return self._add_flatten(step)
        return False

    def add_in_python(self, step: Step, way: str) -> None:
        """Add a step that Python runs, on images."""
        for node in inputs_of(step):
            self._materialise(node)
        self._flush()
        self._actions.append(in_python(step, way))

    def rename(self, old: Node, new: Node) -> None:
        """Let ``new`` have the value of ``old``."""
        self._planes[new] = self._planes.pop(old)

    def drop(self, nodes: Sequence[Node]) -> None:
        """Use the memory of values again that nothing reads any more."""
        self._stale += [node for node in nodes if node not in self._planes]
        for node in nodes:
            if node in self._planes:
                self._memory.give_back(self._planes.pop(node))
            for key in [key for key in self._phases if key[0] is node]:
                self._memory.give_back(self._phases.pop(key)[0])

    def finish(self, output: Node) -> list[Action]:
        """The actions, after which Python has the value of ``output``."""
        self._materialise(output)
        self._flush()
        return self._actions

    def _add_convolution(self, step: Convolution, layer: SparseConvolution) -> bool:
        image = self._values[step.input]
        if not layer.takes(*image.shape[2:]):
            return False
        pad = max(self._pad, layer.pad)
        source = self._planes_of(step.input, pad) if layer.step == 1 else self._phases_of(step.input, layer, pad)
        geometry = layer.output_geometry(image, source.geometry)
        residual = None if step.residual is None else self._planes_like(step.residual, geometry)
        self._convolve(step.node, layer, source, geometry, residual, step.fused)
        return True

    def _add_linear(self, step: Linear, activation: FusedActivation) -> bool:
        source = self._planes.get(step.input)
        if source is None or source.geometry.pad:
            source = self._features_of(step.input)
        layer = step.pointwise()
        self._convolve(step.node, layer, source, source.geometry, None, activation)
        return True

    def _convolve(
        self,
        node: Node,
        layer: SparseConvolution,
        source: Planes,
        geometry: Geometry,
        residual: Planes | None,
        activation: FusedActivation,
    ) -> None:
        target = self._memory.take(layer.outputs, geometry)
        clamp = replace(activation, function=None)
        other = None if residual is None else residual.data
        self._segment.program.convolve(layer, source.data, source.geometry, target, geometry, other, clamp)
        self._planes[node] = Planes(target, geometry)
        if activation.function is not None:
            self._flush()
            mask = pixel_mask(geometry)
            self._actions.append(partial(finish, activation, target, mask))

    def _add_pool(self, step: Other) -> bool:
        assert step.pool is not None
        source, (rows, columns) = self._planes[step.input], self._values[step.node].shape[2:]
        window = step.pool.window or (source.geometry.height, source.geometry.width)
        geometry = Geometry(source.geometry.images, rows, columns, self._pad, rows, columns)
        target = self._zeros(len(source.data), geometry)
        pixels = of_planes(source.data, source.geometry)
        self._segment.program.pool(
            step.pool.kind, pixels, of_planes(target.data, geometry), window, step.pool.stride or window
        )
        self._planes[step.node] = target
        return True

    def _add_flatten(self, step: Other) -> bool:
        source = self._planes[step.input]
        pixels = of_planes(source.data, source.geometry)
        channels, images, rows, columns = pixels.sizes
        target = self._zeros(channels * rows * columns, _features(images))
        stride = target.geometry.stride
        strides = (rows * columns * stride, 1, columns * stride, stride)
        self._segment.program.copy(pixels, Pixels(target.data, target.geometry.guard, pixels.sizes, strides))
        self._planes[step.node] = target
        return True

    def _planes_of(self, node: Node, pad: int) -> Planes:
        if node in self._planes and self._planes[node].geometry.pad >= pad:
            return self._planes[node]
        count, channels, height, width = self._values[node].shape
        target = self._zeros(channels, Geometry(count, height, width, pad, height, width))
        self._fill(node, of_planes(target.data, target.geometry))
        if node not in self._planes:
            self._planes[node] = target
            self._images.add(node)
        return target

    def _planes_like(self, node: Node, geometry: Geometry) -> Planes:
        if node in self._planes and self._planes[node].geometry == geometry:
            return self._planes[node]
        target = self._zeros(self._values[node].shape[1], geometry)
        self._fill(node, of_planes(target.data, geometry))
        return target

    def _phases_of(self, node: Node, layer: SparseConvolution, pad: int) -> Planes:
        """The phases that ``layer`` reads, or more; layers of one source share them."""
        key, wanted = (node, layer.step), layer.phases
        if key in self._phases and self._phases[key][1][: len(wanted)] == wanted:
            return self._phases[key][0]
        source = self._planes_of(node, self._pad)
        pixels = of_planes(source.data, source.geometry)
        channels, images, height, width = pixels.sizes
        rows, columns = height // layer.step, width // layer.step
        target = self._zeros(len(wanted) * channels, Geometry(images, rows, columns, pad, rows, columns))
        for number, (row, column) in enumerate(wanted):
            part = of_planes(target.data, target.geometry).channel_range(number * channels, channels)
            self._segment.program.copy(pixels.part(row, column, layer.step, rows, columns), part)
        if key not in self._phases:
            self._phases[key] = target, wanted
        return target

    def _features_of(self, node: Node) -> Planes:
        """[batch, features] as channels of one pixel an image."""
        value = self._values[node]
        target = self._zeros(value.shape[1], _features(len(value)))
        self._fill(node, of_planes(target.data, target.geometry))
        return target

    def _fill(self, node: Node, target: Pixels) -> None:
        """Copy the value of ``node`` to ``target``."""
        if node in self._planes:
            source = self._planes[node]
            self._segment.program.copy(of_planes(source.data, source.geometry), target)
            return
        if node not in self._segment.inputs:
            self._segment.inputs.append(node)
        value = self._values[node]
        like = value if value.dim() == 4 else value[:, :, None, None]
        self._segment.program.copy_input(str(node), like.contiguous(), target)

    def _zeros(self, channels: int, geometry: Geometry) -> Planes:
        return Planes(torch.zeros(channels, geometry.stride), geometry)

    def _materialise(self, node: Node) -> None:
        """Let Python have ``node`` as an ordinary tensor."""
        if node not in self._planes or node in self._images:
            return
        source, like = self._planes[node], self._values[node]
        images = torch.empty(like.shape)
        shaped = images if images.dim() == 4 else images[:, :, None, None]
        self._segment.program.copy(of_planes(source.data, source.geometry), of_images(shaped))
        self._segment.outputs.append((node, images))
        self._images.add(node)

    def _flush(self) -> None:
        if len(self._segment.program):
            self._actions.append(self._segment)
        self._segment = _Segment()
        if self._stale:
            self._actions.append(partial(forget, tuple(self._stale)))
            self._stale = []


def _features(images: int) -> Geometry:
    return Geometry(images, 1, 1, 0, 1, 1)
