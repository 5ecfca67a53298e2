"""Operations on memory in lanes, many in one compiled call without the interpreter.

Memory of activations is one block; operations have positions in it, so threads run the same operations on blocks of
their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import carray, njit, types  # type: ignore[attr-defined]  # numba lists no exports
from numba.core import cgutils
from numba.extending import intrinsic

from safs.deploy.sparse.lanes import kernel
from safs.deploy.sparse.lanes.layout import LANES, VECTOR_BYTES, Lanes, borders
from safs.deploy.sparse.lanes.memory import Constants
from safs.deploy.sparse.lanes.taps import TILES, Taps

BLOCK, INPUT, OUTPUT = range(3)
"""Where values are: in the block of memory, in the images, or in the logits."""
_CONVOLUTION, _BORDER, _REDUCTION, _ADDITION = range(4)
_FIELDS = 18
_NONE = -1


@dataclass(frozen=True, slots=True)
class Buffer:
    """Channels of activations in the block of memory."""

    position: int
    """Position of the first byte."""
    channels: int
    lanes: Lanes

    @property
    def size(self) -> int:
        """Bytes."""
        return self.channels * self.lanes.channel_bytes

    @property
    def first_pixel(self) -> int:
        """Position of the first pixel that is no padding."""
        return self.position + self.lanes.first_byte


@dataclass(frozen=True, slots=True)
class Place:
    """Values of channels: where they are, the byte of the first, and the bytes from one channel to the next."""

    space: int
    position: int
    channel_bytes: int


@dataclass(slots=True)
class Program:
    """Operations that run one after the other."""

    constants: Constants
    """Memory for weights and tables."""
    _rows: list[list[int]] = field(default_factory=list)
    _numbers: list[tuple[float, float, float]] = field(default_factory=list)
    _tables: tuple[np.ndarray, np.ndarray] | None = None

    def convolve(
        self,
        taps: Taps,
        bias: np.ndarray,
        stride: tuple[int, int],
        source: Buffer,
        target: Buffer,
        residual: Buffer | None,
        clamp: tuple[float, float, float],
    ) -> None:
        """Add a convolution.

        Args:
            bias: float32 [output channels].
            residual: of the layout of the target, or None.
            clamp: lowest and highest output, and a factor of the clamped outputs.
        """
        assert residual is None or (residual.channels, residual.lanes) == (target.channels, target.lanes)
        row = [_CONVOLUTION, source.position, target.first_pixel]
        row += [
            _NONE if residual is None else residual.first_pixel,
            *map(self._address, (taps.taps, taps.begins, bias)),
        ]
        row += [taps.tile, taps.passes, target.channels, target.lanes.rows, target.lanes.columns]
        row += [stride[0] * source.lanes.pitch * VECTOR_BYTES, stride[1] * VECTOR_BYTES]
        row += [target.lanes.pitch * VECTOR_BYTES, target.lanes.channel_bytes]
        self._add(row, clamp)

    def fill_borders(self, buffer: Buffer) -> None:
        """Add copies of pixels into the padding."""
        copies, masks = borders(buffer.lanes)
        if len(copies):
            addresses = map(self._address, (copies, masks))
            sizes = [buffer.channels, buffer.lanes.channel_bytes, len(copies)]
            self._add([_BORDER, buffer.position, *addresses, *sizes])

    def reduce(
        self, source: Place, target: Place, channels: int, table: np.ndarray, *, largest: bool, lanes: int, scale: float
    ) -> None:
        """Add a copy, or a pooling: each output is the largest, or the scaled sum, of some inputs of its channel.

        Args:
            table: int [outputs, 1 + inputs], position of each output and of its inputs in their channels, in values.
            lanes: 1 for values, or 16 for whole vectors.
        """
        table = table.astype(np.int32)
        row = [_REDUCTION, source.space, source.position, target.space, target.position, channels]
        row += [source.channel_bytes, target.channel_bytes, self._address(table), *table.shape, lanes, int(largest)]
        self._add(row, (scale, 0.0, 0.0))

    def add(self, one: Buffer, other: Buffer, target: Buffer) -> None:
        """Add the sum of two buffers of one layout."""
        self._add([_ADDITION, one.position, other.position, target.position, target.size // 4])

    def copy(self, source: Buffer, target: Buffer) -> None:
        """Add a copy to a buffer of the same layout."""
        vectors = np.arange(source.lanes.vectors)[:, None] * LANES + np.zeros(2, np.int64)
        from_, to = (Place(BLOCK, buffer.position, buffer.lanes.channel_bytes) for buffer in (source, target))
        self.reduce(from_, to, source.channels, vectors, largest=True, lanes=LANES, scale=1.0)

    def run(self, block: int, images: int, logits: int) -> None:
        """Run all operations on the memory at three addresses."""
        if self._tables is None:
            table = np.zeros((len(self._rows), _FIELDS), np.int64)
            for place, row in enumerate(self._rows):
                table[place, : len(row)] = row
            self._tables = table, np.array(self._numbers, np.float32).reshape(-1, 3)
        table, numbers = self._tables
        _execute(table, numbers, (block, images, logits))

    def __len__(self) -> int:
        return len(self._rows)

    def _address(self, array: np.ndarray) -> int:
        return self.constants.keep(array)

    def _add(self, row: Sequence[int], numbers: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> None:
        self._rows.append(list(row))
        self._numbers.append(numbers)


def _as_pointer(typing_context: Any, address: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), emit


_pointer: Any = intrinsic(_as_pointer)
_copy_lanes: Any = kernel.copy_lanes


def _convolution(rows: int, columns: int, unroll: int) -> Any:
    run_tile = kernel.tile_of(rows, columns, unroll)

    @njit(nogil=True, error_model="numpy")
    def convolve(row: np.ndarray, base: int, low: float, high: float, gain: float) -> None:
        taps, passes, channels, height, width = row[4], row[8], row[9], row[10], row[11]
        down, right, to_down, stride = row[12], row[13], row[14], row[15]
        begins = carray(_pointer(row[5]), (passes * channels + 1,), np.int64)
        bias = carray(_pointer(row[6]), (channels,), np.float32)
        free, one = np.float32(np.inf), np.float32(1.0)
        for line in range(0, height, rows):
            y = min(line, height - rows)  # the last tile may overlap the one before
            for place in range(0, width, columns):
                x = min(place, width - columns)
                source = base + row[1] + y * down + x * right
                at = y * to_down + x * VECTOR_BYTES
                for turn in range(passes):
                    ends = turn == passes - 1
                    for channel in range(channels):
                        number = turn * channels + channel
                        target = base + row[2] + at + channel * stride
                        run_tile(
                            source, down, right, taps, begins[number], begins[number + 1], bias[channel],
                            target if turn else 0,
                            base + row[3] + at + channel * stride if ends and row[3] >= 0 else 0,
                            target, to_down,
                            low if ends else -free, high if ends else free, gain if ends else one,
                        )  # fmt: skip

    return convolve


_large, _middle, _small = (_convolution(*tile) for tile in TILES)


@njit(nogil=True, error_model="numpy")
def _fill_borders(row: np.ndarray, base: int) -> None:
    copies = carray(_pointer(row[2]), (row[6], 3), np.int32)
    for channel in range(row[4]):
        begin = base + row[1] + channel * row[5]
        for number in range(row[6]):
            _copy_lanes(begin + copies[number, 1], row[3] + copies[number, 2], begin + copies[number, 0])


@njit(nogil=True, error_model="numpy")
def _reduce(row: np.ndarray, from_base: int, to_base: int, scale: float) -> None:
    count, width, lanes = row[9], row[10], row[11]
    table = carray(_pointer(row[8]), (count, width), np.int32)
    for channel in range(row[5]):
        source, target = from_base + row[2] + channel * row[6], to_base + row[4] + channel * row[7]
        for number in range(count):
            _reduce_values(source, target, table[number], lanes, row[12], scale)


@njit(nogil=True, error_model="numpy")
def _reduce_values(source: int, target: int, places: np.ndarray, lanes: int, largest: int, scale: float) -> None:
    result = carray(_pointer(target + 4 * places[0]), (lanes,), np.float32)
    for turn in range(1, len(places)):
        values = carray(_pointer(source + 4 * places[turn]), (lanes,), np.float32)
        for lane in range(lanes):
            one, value = values[lane], result[lane]
            if turn == 1:
                result[lane] = one
            elif largest:
                result[lane] = one if (one > value) | (one != one) else value
            else:
                result[lane] = value + one
    if not largest:
        for lane in range(lanes):
            result[lane] *= scale


@njit(nogil=True, error_model="numpy")
def _sum(row: np.ndarray, base: int) -> None:
    one = carray(_pointer(base + row[1]), (row[4],), np.float32)
    other = carray(_pointer(base + row[2]), (row[4],), np.float32)
    target = carray(_pointer(base + row[3]), (row[4],), np.float32)
    for at in range(row[4]):
        target[at] = one[at] + other[at]


@njit(nogil=True, error_model="numpy")
def _execute(table: np.ndarray, numbers: np.ndarray, bases: tuple[int, int, int]) -> None:
    for place in range(len(table)):
        row, base = table[place], bases[0]
        low, high, gain = numbers[place, 0], numbers[place, 1], numbers[place, 2]
        if row[0] == _CONVOLUTION:
            if row[7] == 0:
                _large(row, base, low, high, gain)
            elif row[7] == 1:
                _middle(row, base, low, high, gain)
            else:
                _small(row, base, low, high, gain)
        elif row[0] == _BORDER:
            _fill_borders(row, base)
        elif row[0] == _REDUCTION:
            _reduce(row, bases[row[1]], bases[row[3]], low)
        else:
            _sum(row, base)
