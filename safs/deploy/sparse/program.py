"""Many operations in one compiled call: sparse convolutions, pooling, and changes of layout.

Between two layers of a small network, Python takes longer than the layers. A program is a table of operations on memory
whose addresses do not change, so a whole network, or a long part of one, is a single call without the interpreter.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import carray, njit, types  # type: ignore[attr-defined]  # numba lists no exports
from numba.core import cgutils
from numba.extending import intrinsic
from torch import Tensor

from safs.deploy.sparse.activation import FusedActivation
from safs.deploy.sparse.convolution import SparseConvolution
from safs.deploy.sparse.kernel import LARGE_TILE, run_large_tile, run_small_tile
from safs.deploy.sparse.planes import Geometry, pixel_mask

_CONVOLUTION, _COPY, _LARGEST, _MEAN = range(4)
_FIELDS = 20
_FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Pixels:
    """Values [channels, images, rows, columns] at a place in memory; strides are in values."""

    memory: Tensor
    """The memory that holds them; kept alive by this reference."""
    first: int
    """Position of the first value in ``memory``."""
    sizes: tuple[int, int, int, int]
    strides: tuple[int, int, int, int]

    @property
    def address(self) -> int:
        return self.memory.data_ptr() + _FLOAT_BYTES * self.first

    def part(self, row: int, column: int, step: int, rows: int, columns: int) -> "Pixels":
        """Every ``step``-th row and column from (``row``, ``column``)."""
        channels, images, down, right = self.strides
        first = self.first + row * down + column * right
        sizes = (*self.sizes[:2], rows, columns)
        return Pixels(self.memory, first, sizes, (channels, images, step * down, step * right))

    def channel_range(self, first: int, count: int) -> "Pixels":
        """``count`` channels from ``first``."""
        return Pixels(self.memory, self.first + first * self.strides[0], (count, *self.sizes[1:]), self.strides)


def of_planes(data: Tensor, geometry: Geometry) -> Pixels:
    """The pixels of memory in the layout of ``planes``."""
    g = geometry
    return Pixels(data, g.guard, (len(data), g.images, g.height, g.width), (g.stride, g.plane, g.pitch, 1))


def of_images(images: Tensor) -> Pixels:
    """The pixels of contiguous images [batch, channels, height, width]."""
    count, channels, height, width = images.shape
    return Pixels(images, 0, (channels, count, height, width), (height * width, channels * height * width, width, 1))


@dataclass(slots=True)
class Program:
    """Operations that run one after the other."""

    _rows: list[list[int]] = field(default_factory=list)
    _limits: list[tuple[float, float]] = field(default_factory=list)
    _alive: list[Any] = field(default_factory=list)
    _inputs: list[tuple[int, str]] = field(default_factory=list)
    _table: np.ndarray = field(default_factory=lambda: np.zeros((0, _FIELDS), np.int64))
    _bounds: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.float32))

    def convolve(
        self,
        layer: SparseConvolution,
        source: Tensor,
        source_geometry: Geometry,
        target: Tensor,
        geometry: Geometry,
        residual: Tensor | None,
        activation: FusedActivation,
    ) -> None:
        """Add a convolution, whose activation must be a clamp; memory is in the layout of ``planes``."""
        assert activation.function is None
        assert residual is None or residual.shape == target.shape
        begins, offsets, weights, bias = layer.arrays(source_geometry)
        mask = pixel_mask(geometry, activation.gain)
        self._alive += [begins, offsets, weights, bias, mask, source, target, residual]
        at = _FLOAT_BYTES * geometry.guard
        self._add(
            [
                _CONVOLUTION,
                source.data_ptr() + at,
                offsets.ctypes.data,
                weights.ctypes.data,
                begins.ctypes.data,
                bias.ctypes.data,
                0 if residual is None else residual.data_ptr() + at,
                mask.data_ptr() + at,
                target.data_ptr() + at,
                geometry.tiles,
                geometry.tile,
                layer.outputs,
                _FLOAT_BYTES * target.shape[1],
            ],
            (activation.low, activation.high),
        )

    def copy(self, source: Pixels, target: Pixels) -> None:
        """Add a copy of pixels."""
        assert source.sizes == target.sizes, (source.sizes, target.sizes)
        self._move(_COPY, source, target, (1, 1), source.strides[2:])

    def copy_input(self, name: str, like: Tensor, target: Pixels) -> None:
        """Add a copy from the contiguous images that ``run`` gets as ``name``."""
        self._inputs.append((len(self._rows), name))
        self.copy(of_images(like), target)

    def pool(self, kind: str, source: Pixels, target: Pixels, window: tuple[int, int], step: tuple[int, int]) -> None:
        """Add a pooling: ``max`` or ``mean`` of windows without padding."""
        down, right = source.strides[2:]
        moved = Pixels(
            source.memory, source.first, target.sizes, (*source.strides[:2], step[0] * down, step[1] * right)
        )
        self._move(_LARGEST if kind == "max" else _MEAN, moved, target, window, (down, right))

    def run(self, inputs: dict[str, Tensor]) -> None:
        """Run all operations.

        Args:
            inputs: name -> contiguous float32 images of the shape that ``copy_input`` was given.
        """
        if len(self._table) != len(self._rows):
            self._table = np.zeros((len(self._rows), _FIELDS), np.int64)
            for place, row in enumerate(self._rows):
                self._table[place, : len(row)] = row
            self._bounds = np.array(self._limits, np.float32).reshape(-1, 2)
        for place, name in self._inputs:
            self._table[place, 1] = inputs[name].data_ptr()
        _execute(self._table, self._bounds)

    def __len__(self) -> int:
        return len(self._rows)

    def _move(
        self, kind: int, source: Pixels, target: Pixels, window: tuple[int, int], within: tuple[int, ...]
    ) -> None:
        self._alive += [source.memory, target.memory]
        row = [kind, source.address, target.address, *target.sizes, *source.strides, *target.strides, *window, *within]
        self._add(row, (0.0, 0.0))

    def _add(self, row: list[int], limits: tuple[float, float]) -> None:
        self._rows.append(row)
        self._limits.append(limits)


def _as_pointer(typing_context: Any, address: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), emit


_pointer: Any = intrinsic(_as_pointer)


@njit(nogil=True, error_model="numpy")
def _convolve(row: np.ndarray, low: float, high: float) -> None:
    source, offsets, weights, residual, mask, target = row[1], row[2], row[3], row[6], row[7], row[8]
    tiles, tile, channels, stride = row[9], row[10], row[11], row[12]
    begins = carray(_pointer(row[4]), (channels + 1,), np.int64)
    bias = carray(_pointer(row[5]), (channels,), np.float32)
    for position in range(tiles):
        at = 4 * position * tile
        for channel in range(channels):
            to = at + channel * stride
            other = residual + to if residual else 0
            if tile == LARGE_TILE:
                run_large_tile(
                    source + at, offsets, weights, begins[channel], begins[channel + 1], bias[channel], other,
                    mask + at, target + to, low, high,
                )  # fmt: skip
            else:
                run_small_tile(
                    source + at, offsets, weights, begins[channel], begins[channel + 1], bias[channel], other,
                    mask + at, target + to, low, high,
                )  # fmt: skip


@njit(nogil=True, error_model="numpy")
def _copy(row: np.ndarray) -> None:
    columns, right, to_right = row[6], row[10], row[14]
    for channel in range(row[3]):
        for image in range(row[4]):
            for line in range(row[5]):
                read = row[1] + 4 * (channel * row[7] + image * row[8] + line * row[9])
                write = row[2] + 4 * (channel * row[11] + image * row[12] + line * row[13])
                source = carray(_pointer(read), (columns * right,), np.float32)
                target = carray(_pointer(write), (columns * to_right,), np.float32)
                if right == 1 and to_right == 1:
                    for column in range(columns):
                        target[column] = source[column]
                elif right == 2 and to_right == 1:
                    for column in range(columns):
                        target[column] = source[2 * column]
                else:
                    for column in range(columns):
                        target[column * to_right] = source[column * right]


@njit(nogil=True, error_model="numpy")
def _pool(row: np.ndarray, largest: bool) -> None:
    columns, right, to_right = row[6], row[10], row[14]
    high, wide, down, across = row[15], row[16], row[17], row[18]
    share = np.float32(1.0) / np.float32(high * wide)
    for channel in range(row[3]):
        for image in range(row[4]):
            for line in range(row[5]):
                read = row[1] + 4 * (channel * row[7] + image * row[8] + line * row[9])
                write = row[2] + 4 * (channel * row[11] + image * row[12] + line * row[13])
                target = carray(_pointer(write), (columns * to_right,), np.float32)
                for i in range(high):
                    for j in range(wide):
                        source = carray(_pointer(read + 4 * (i * down + j * across)), (columns * right,), np.float32)
                        if i == 0 and j == 0:
                            for column in range(columns):
                                target[column * to_right] = source[column * right]
                        elif largest:
                            _take_largest(source, target, columns, right, to_right)
                        else:
                            for column in range(columns):
                                target[column * to_right] += source[column * right]
                if not largest:
                    for column in range(columns):
                        target[column * to_right] *= share


@njit(nogil=True, error_model="numpy")
def _take_largest(source: np.ndarray, target: np.ndarray, columns: int, right: int, to_right: int) -> None:
    """target = the larger of target and source, NaN if one of them is; without branches, so that it is vectorized."""
    if right == 2 and to_right == 1:
        for column in range(columns):
            one, value = source[2 * column], target[column]
            target[column] = one if (one > value) | (one != one) else value
    else:
        for column in range(columns):
            one, value = source[column * right], target[column * to_right]
            target[column * to_right] = one if (one > value) | (one != one) else value


@njit(nogil=True, error_model="numpy")
def _execute(table: np.ndarray, bounds: np.ndarray) -> None:
    for place in range(len(table)):
        row = table[place]
        kind = row[0]
        if kind == _CONVOLUTION:
            _convolve(row, bounds[place, 0], bounds[place, 1])
        elif kind == _COPY:
            _copy(row)
        else:
            _pool(row, kind == _LARGEST)
