"""The compiled operations on memory in lanes.

An operation is a row of integers: its kind, and then addresses, positions in memory, and sizes, in the order in which
``program`` writes them.
"""

from typing import Any

import numpy as np
from numba import carray, njit, types  # type: ignore[attr-defined]  # numba lists no exports
from numba.core import cgutils
from numba.extending import intrinsic

from safs.deploy.sparse.lanes import gates, kernel
from safs.deploy.sparse.lanes.layout import LANES, VECTOR_BYTES
from safs.deploy.sparse.lanes.taps import TILES

CONVOLUTION, BORDER, REDUCTION, ADDITION, GATE, SCALE = range(6)
FIELDS, NUMBERS = 18, 5
"""Integers and real numbers of an operation."""


_MOST_VALUES = 2**40
"""Length of arrays that are read and written at positions from a table."""


def _as_pointer(typing_context: Any, address: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), emit


_pointer: Any = intrinsic(_as_pointer)
_copy_lanes: Any = kernel.copy_lanes
_multiply_vector: Any = kernel.multiply_vector
_smooth_gate: Any = gates.smooth_gate
_hard_gate: Any = gates.hard_gate


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
    count, width, lanes, largest = row[9], row[10], row[11], row[12]
    table = carray(_pointer(row[8]), (count, width), np.uint32)
    for channel in range(row[5]):
        from_, to = from_base + row[2] + channel * row[6], to_base + row[4] + channel * row[7]
        source = carray(_pointer(from_), (_MOST_VALUES,), np.float32)
        target = carray(_pointer(to), (_MOST_VALUES,), np.float32)
        if lanes == 1:
            for number in range(count):
                value = source[table[number, 1]]
                for turn in range(2, width):
                    one = source[table[number, turn]]
                    value = _larger(one, value) if largest else value + one
                target[table[number, 0]] = value * scale
        else:
            for number in range(count):
                _reduce_vectors(source, target[table[number, 0] :][:LANES], table[number], largest, scale)


@njit(nogil=True, error_model="numpy")
def _reduce_vectors(source: np.ndarray, target: np.ndarray, places: np.ndarray, largest: int, scale: float) -> None:
    for lane in range(LANES):
        target[lane] = source[places[1] :][lane] * scale
    for turn in range(2, len(places)):
        values = source[places[turn] :][:LANES]
        for lane in range(LANES):
            one, value = values[lane] * scale, target[lane]
            target[lane] = _larger(one, value) if largest else value + one


@njit(nogil=True, error_model="numpy")
def _larger(one: float, other: float) -> float:
    """The larger of two values, NaN if one of them is; without branches, so that loops are vectorized."""
    return one if (one > other) | (one != one) else other


@njit(nogil=True, error_model="numpy")
def _sum(row: np.ndarray, base: int) -> None:
    one = carray(_pointer(base + row[1]), (row[4],), np.float32)
    other = carray(_pointer(base + row[2]), (row[4],), np.float32)
    target = carray(_pointer(base + row[3]), (row[4],), np.float32)
    for at in range(row[4]):
        target[at] = one[at] + other[at]


@njit(nogil=True, error_model="numpy")
def _scale(row: np.ndarray, base: int) -> None:
    for channel in range(row[4]):
        source, target = base + row[1] + channel * row[6], base + row[3] + channel * row[6]
        for vector in range(row[5]):
            at = vector * VECTOR_BYTES
            _multiply_vector(source + at, base + row[2] + channel * row[7], target + at)


@njit(nogil=True, error_model="numpy")
def _gate(row: np.ndarray, base: int, numbers: np.ndarray) -> None:
    steepness, slope, offset, linear, shift = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    for channel in range(row[2]):
        for line in range(row[4]):
            begin = base + row[1] + channel * row[3] + line * row[5]
            for place in range(row[6]):
                at = begin + place * VECTOR_BYTES
                if row[7]:
                    _hard_gate(at, steepness, slope, offset, linear, shift)
                else:
                    _smooth_gate(at, steepness, slope, offset, linear, shift)


@njit(nogil=True, error_model="numpy")
def execute(table: np.ndarray, numbers: np.ndarray, bases: tuple[int, int, int]) -> None:
    """Run operations one after the other.

    Args:
        table: int64 [operations, FIELDS].
        numbers: float32 [operations, NUMBERS].
        bases: addresses of the memory of activations, of the images, and of the logits.
    """
    for place in range(len(table)):
        row, base = table[place], bases[0]
        low, high, gain = numbers[place, 0], numbers[place, 1], numbers[place, 2]
        if row[0] == CONVOLUTION:
            if row[7] == 0:
                _large(row, base, low, high, gain)
            elif row[7] == 1:
                _middle(row, base, low, high, gain)
            else:
                _small(row, base, low, high, gain)
        elif row[0] == BORDER:
            _fill_borders(row, base)
        elif row[0] == REDUCTION:
            _reduce(row, bases[row[1]], bases[row[3]], low)
        elif row[0] == GATE:
            _gate(row, base, numbers[place])
        elif row[0] == SCALE:
            _scale(row, base)
        else:
            _sum(row, base)
