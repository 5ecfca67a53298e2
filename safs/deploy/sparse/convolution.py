"""A convolution with sparse weights, on activations in the layout of ``planes``."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from safs.deploy.sparse.activation import FusedActivation
from safs.deploy.sparse.kernel import CONVOLUTIONS
from safs.deploy.sparse.planes import Geometry, Memory, Planes, empty, phases, pixel_mask, to_images, to_planes, view

_NONE = FusedActivation()
Part: TypeAlias = tuple[tuple[int, int], tuple[int, int]]
"""Range of tiles, range of output channels."""
_WORTH_A_THREAD = 500_000
"""Multiplications for which waking a thread pays."""


@dataclass(frozen=True, slots=True)
class ConvolutionShape:
    """The settings of a convolution with one group and zero padding."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]


class SparseConvolution:
    """y = act(conv(x) + bias + residual), whose cost is the number of weights that are not zero.

    Args:
        weight: float32 [output channels, input channels, height, width].
        bias: float32 [output channels].
    """

    def __init__(self, weight: Tensor, bias: Tensor, shape: ConvolutionShape) -> None:
        self._shape, self._inputs, self.outputs = shape, weight.shape[1], weight.shape[0]
        channel, source, row, column = (index.numpy() for index in weight.nonzero(as_tuple=True))
        self._weights = weight.numpy()[channel, source, row, column].astype(np.float32)
        self._bias = np.array(bias.numpy(), np.float32)
        counts = np.bincount(channel, minlength=self.outputs)
        self._begins = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        step = shape.stride[0]
        down = row * shape.dilation[0] - shape.padding[0]
        right = column * shape.dilation[1] - shape.padding[1]
        starts = list(zip((down % step).tolist(), (right % step).tolist(), strict=True))
        self._phases = tuple(dict.fromkeys(sorted(set(starts)))) or ((0, 0),)
        number = {start: position for position, start in enumerate(self._phases)}
        self._source = np.array([number[start] for start in starts], np.int64) * self._inputs + source
        self._down, self._right = down // step, right // step
        self.pad = int(max(np.abs(self._down).max(initial=0), np.abs(self._right).max(initial=0)))
        self._kernel = weight.shape[2:]
        self._offsets: dict[Geometry, np.ndarray] = {}
        self._geometries: dict[tuple[Geometry, int, int], Geometry] = {}
        self._divisions: dict[tuple[Geometry, int], list[Part]] = {}

    def takes(self, height: int, width: int) -> bool:
        """True if images of this size can be convolved: the stride divides them, and the output fits inside."""
        step = self._shape.stride
        divides = step[0] == step[1] and height % step[0] == 0 and width % step[1] == 0
        rows, columns = self._output_size(height, width)
        return divides and 0 < rows <= height // step[0] and 0 < columns <= width // step[1]

    def __call__(
        self,
        x: Planes | Tensor,
        residual: Planes | None = None,
        activation: FusedActivation = _NONE,
        *,
        pad: int = 0,
        memory: Memory | None = None,
    ) -> Planes:
        """The convolution of ``x``.

        Args:
            x: in the layout, or images [batch, channels, height, width].
            residual: of the geometry of the output.
            pad: padding that layers behind this one need.
            memory: memory to use again; None allocates.
        """
        source = self.source(x, max(pad, self.pad))
        return self.apply(source, self.output_geometry(x, source.geometry), residual, activation, memory)

    def apply(
        self,
        source: Planes,
        geometry: Geometry,
        residual: Planes | None,
        activation: FusedActivation,
        memory: Memory | None,
    ) -> Planes:
        """As ``__call__``, with results of ``source`` and ``output_geometry``."""
        target = empty(self.outputs, geometry) if memory is None else memory.take(self.outputs, geometry)
        self._run(source, target, geometry, residual, pixel_mask(geometry, activation.gain), activation)
        return Planes(activation.finish(target, pixel_mask(geometry)), geometry)

    def source(self, x: Planes | Tensor, pad: int) -> Planes:
        """``x`` in the layout that the convolution reads."""
        step = self._shape.stride[0]
        if step > 1:
            pixels = view(x.data, x.geometry) if isinstance(x, Planes) else x.transpose(0, 1)
            return phases(pixels, step, self._phases, pad)
        if isinstance(x, Planes):
            return x if x.geometry.pad >= self.pad else to_planes(to_images(x), pad)
        return to_planes(x, pad)

    def output_geometry(self, x: Planes | Tensor, source: Geometry) -> Geometry:
        """The geometry of the output: that of the source with fewer pixels where there is no padding."""
        height, width = (x.geometry.height, x.geometry.width) if isinstance(x, Planes) else x.shape[2:]
        key = source, height, width
        if key not in self._geometries:
            rows, columns = self._output_size(height, width)
            self._geometries[key] = replace(source, height=rows, width=columns)
        return self._geometries[key]

    def arrays(self, source: Geometry) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(begins, offsets, weights, bias) of ``kernel.CONVOLUTIONS``, for a source of this geometry."""
        return self._begins, self._offsets_in(source), self._weights, self._bias

    @property
    def phases(self) -> tuple[tuple[int, int], ...]:
        """(first row, first column) of the phases that are the channels of the source, if there is a stride."""
        return self._phases

    @property
    def step(self) -> int:
        """The stride."""
        return self._shape.stride[0]

    def _output_size(self, height: int, width: int) -> tuple[int, int]:
        sizes = [
            (size + 2 * padding - dilation * (kernel - 1) - 1) // step + 1
            for size, padding, dilation, kernel, step in zip(
                (height, width),
                self._shape.padding,
                self._shape.dilation,
                self._kernel,
                self._shape.stride,
                strict=True,
            )
        ]
        return sizes[0], sizes[1]

    def _run(
        self,
        source: Planes,
        target: Tensor,
        geometry: Geometry,
        residual: Planes | None,
        mask: Tensor,
        activation: FusedActivation,
    ) -> None:
        assert residual is None or residual.data.shape == target.shape
        other = target if residual is None else residual.data
        arguments: tuple[Any, ...] = (
            source.data.numpy(),
            self._begins,
            self._offsets_in(source.geometry),
            self._weights,
            self._bias,
            other.numpy(),
            residual is not None,
            mask.numpy(),
            target.numpy(),
            geometry.guard,
        )
        convolve, low, high = CONVOLUTIONS[geometry.tile], activation.low, activation.high
        division = geometry, torch.get_num_threads()
        if division not in self._divisions:
            self._divisions[division] = list(self._parts(*division))
        parts = self._divisions[division]
        if len(parts) == 1:
            convolve(*arguments, *parts[0], low, high)
            return
        done = [_pool(len(parts)).submit(partial(convolve, *arguments, *part, low, high)) for part in parts[1:]]
        convolve(*arguments, *parts[0], low, high)
        wait(done)
        for future in done:
            future.result()

    def _parts(self, geometry: Geometry, available: int) -> Iterator[Part]:
        """(range of tiles, range of channels) for each thread."""
        work = len(self._weights) * geometry.tiles * geometry.tile
        threads = max(1, min(available, work // _WORTH_A_THREAD))
        tiles, channels = geometry.tiles, self.outputs
        for part in range(threads):
            if tiles >= 4 * threads:
                yield (part * tiles // threads, (part + 1) * tiles // threads), (0, channels)
            else:
                share = np.searchsorted(self._begins, [len(self._weights) * at // threads for at in (part, part + 1)])
                first, last = (int(share[0]) if part else 0), (int(share[1]) if part + 1 < threads else channels)
                yield (0, tiles), (first, min(last, channels))

    def _offsets_in(self, geometry: Geometry) -> np.ndarray:
        if geometry not in self._offsets:
            shift = self._down * geometry.pitch + self._right
            self._offsets[geometry] = (self._source * geometry.stride + shift).astype(np.int32)
        return self._offsets[geometry]


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads - 1, thread_name_prefix="safs-sparse")
