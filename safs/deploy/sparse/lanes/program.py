"""Operations on memory in lanes, many in one compiled call without the interpreter.

Memory of activations is one block; operations have positions in it, so threads run the same operations on blocks of
their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from safs.deploy.sparse.lanes.buffers import Buffer, Place
from safs.deploy.sparse.lanes.gates import Gate
from safs.deploy.sparse.lanes.layout import LANES, VECTOR_BYTES, borders
from safs.deploy.sparse.lanes.memory import Constants
from safs.deploy.sparse.lanes.operations import (
    ADDITION,
    BORDER,
    CONVOLUTION,
    FIELDS,
    GATE,
    NUMBERS,
    REDUCTION,
    SCALE,
    execute,
)
from safs.deploy.sparse.lanes.taps import Taps

BLOCK, INPUT, OUTPUT = range(3)
"""Where values are: in the block of memory, in the images, or in the logits."""
_NONE = -1


@dataclass(slots=True)
class Program:
    """Operations that run one after the other."""

    constants: Constants
    """Memory for weights and tables."""
    _rows: list[list[int]] = field(default_factory=list)
    _numbers: list[tuple[float, ...]] = field(default_factory=list)
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
        row = [CONVOLUTION, source.position, target.first_pixel]
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
            self._add([BORDER, buffer.position, *addresses, *sizes])

    def reduce(
        self,
        source: Place,
        target: Place,
        channels: int,
        table: np.ndarray,
        *,
        largest: bool = False,
        lanes: int = 1,
        scale: float = 1.0,
    ) -> None:
        """Add a copy, or a pooling: each output is the largest, or the scaled sum, of some inputs of its channel.

        Args:
            table: int [outputs, 1 + inputs], position of each output and of its inputs in their channels, in values.
            lanes: 1 for values, or 16 for whole vectors.
        """
        table = table[np.argsort(table[:, 0])].astype(np.uint32)  # writes go forward
        row = [REDUCTION, source.space, source.position, target.space, target.position, channels]
        row += [source.channel_bytes, target.channel_bytes, self._address(table), *table.shape, lanes, int(largest)]
        self._add(row, (scale,))

    def add(self, one: Buffer, other: Buffer, target: Buffer) -> None:
        """Add the sum of two buffers of one layout."""
        self._add([ADDITION, one.position, other.position, target.position, target.size // 4])

    def apply(self, gate: Gate, buffer: Buffer) -> None:
        """Add an activation, in place."""
        lanes = buffer.lanes
        sizes = [buffer.channels, lanes.channel_bytes, lanes.rows, lanes.pitch * VECTOR_BYTES, lanes.columns]
        self._add([GATE, buffer.first_pixel, *sizes, int(gate.hard)], gate.numbers)

    def scale(self, source: Buffer, factors: Buffer, target: Buffer) -> None:
        """Add a product of each channel with a vector of factors."""
        sizes = [source.channels, source.lanes.vectors, source.lanes.channel_bytes, factors.lanes.channel_bytes]
        self._add([SCALE, source.position, factors.first_pixel, target.position, *sizes])

    def copy(self, source: Buffer, target: Buffer) -> None:
        """Add a copy to a buffer of the same layout."""
        vectors = np.arange(source.lanes.vectors)[:, None] * LANES + np.zeros(2, np.int64)
        from_, to = (Place(BLOCK, buffer.position, buffer.lanes.channel_bytes) for buffer in (source, target))
        self.reduce(from_, to, source.channels, vectors, largest=True, lanes=LANES, scale=1.0)

    def run(self, block: int, images: int, logits: int) -> None:
        """Run all operations on the memory at three addresses."""
        if self._tables is None:
            table = np.zeros((len(self._rows), FIELDS), np.int64)
            for place, row in enumerate(self._rows):
                table[place, : len(row)] = row
            self._tables = table, np.array(self._numbers, np.float32).reshape(-1, NUMBERS)
        table, numbers = self._tables
        execute(table, numbers, (block, images, logits))

    def __len__(self) -> int:
        return len(self._rows)

    def _address(self, array: np.ndarray) -> int:
        return self.constants.keep(array)

    def _add(self, row: Sequence[int], numbers: tuple[float, ...] = ()) -> None:
        self._rows.append(list(row))
        self._numbers.append((*numbers, *[0.0] * (NUMBERS - len(numbers))))
