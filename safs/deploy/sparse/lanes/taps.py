"""The live weights of a layer in the order in which its inner loop reads them."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from safs.deploy.sparse.convolution import ConvolutionShape
from safs.deploy.sparse.lanes.layout import VECTOR_BYTES, Lanes

TILES: tuple[tuple[int, int, int], ...] = ((4, 4, 1), (2, 2, 2), (1, 1, 4))
"""Rows and columns of the pixels that are accumulated at once, and taps a turn of the loop."""
_FIRST_CACHE_BYTES = 36 * 1024
"""Part of the first-level cache that inputs of a tile may fill."""
_WORTH_A_PASS = 16
"""Live weights of an output channel for which reading and writing its sums once more pays."""
_MOST_BYTES = 2**32


@dataclass(frozen=True, slots=True)
class Taps:
    """The live weights of a layer, in passes over parts of the input channels."""

    passes: int
    begins: np.ndarray
    """int64 [passes * output channels + 1]: channel c has in pass p the taps from begins[p * channels + c] on."""
    taps: np.ndarray
    """uint32 [taps, 2]: position of the input relative to that of the output's first tap, and bits of the weight."""
    tile: int
    """Index in ``TILES``."""


def tile_for(rows: int, columns: int) -> int:
    """The largest tile that fits into a part of the output."""
    return next(at for at, (high, wide, _) in enumerate(TILES) if high <= rows and wide <= columns)


def taps_of(weight: Tensor, groups: int, shape: ConvolutionShape, source: Lanes, output: tuple[int, int]) -> Taps:
    """The taps of a convolution.

    The inputs that the tiles of all output channels share should stay in the first-level cache, so large layers are
    computed in passes, each over as many input channels as fit.

    Args:
        weight: float32 [output channels, input channels / groups, height, width].
        source: layout of the input.
        output: rows and columns of a part of the output.
    """
    outputs, inputs = weight.shape[0], weight.shape[1] * groups
    channel, part, row, column = (index.numpy() for index in weight.nonzero(as_tuple=True))
    values = weight.numpy()[channel, part, row, column].astype(np.float32)
    read = channel // (outputs // groups) * weight.shape[1] + part
    down = source.pad - shape.padding[0] + row * shape.dilation[0]
    right = source.pad - shape.padding[1] + column * shape.dilation[1]
    assert down.min(initial=0) >= 0
    assert right.min(initial=0) >= 0
    tile = tile_for(*output)
    passes = _passes(weight, inputs, shape, source, tile)
    number = read * passes // inputs * outputs + channel  # of the pass and the output channel
    order = np.lexsort((right, down, read, number))
    counts = np.bincount(number, minlength=passes * outputs)
    unroll = TILES[tile][2]
    begins = np.concatenate([[0], np.cumsum(-(-counts // unroll) * unroll)]).astype(np.int64)
    within = np.arange(len(number)) - np.repeat(np.cumsum(counts) - counts, counts)
    place = begins[number[order]] + within
    taps = np.zeros((int(begins[-1]), 2), np.uint32)
    taps[place, 0] = (read * source.channel_bytes + VECTOR_BYTES * (down * source.pitch + right))[order]
    taps[place, 1] = values[order].view(np.uint32)
    return Taps(passes, begins, taps, tile)


def fits(channels: int, lanes: Lanes) -> bool:
    """True if positions in memory of this size can be stored."""
    return channels * lanes.channel_bytes < _MOST_BYTES


def _passes(weight: Tensor, inputs: int, shape: ConvolutionShape, source: Lanes, tile: int) -> int:
    sizes = []
    for own, whole, axis in ((TILES[tile][0], source.rows, 0), (TILES[tile][1], source.columns, 1)):
        reach = (own - 1) * shape.stride[axis] + (weight.shape[2 + axis] - 1) * shape.dilation[axis] + 1
        sizes.append(min(reach, whole + 2 * source.pad))
    wanted = -(-inputs * sizes[0] * sizes[1] * VECTOR_BYTES // _FIRST_CACHE_BYTES)
    worthwhile = int(weight.count_nonzero()) // (len(weight) * _WORTH_A_PASS)
    return max(1, min(wanted, worthwhile, inputs))
