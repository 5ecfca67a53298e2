"""A linear layer on rows of features, such as the tokens of a transformer, with rows as lanes."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from math import inf

import numpy as np
import torch
from torch import Tensor

from safs.deploy.sparse.convolution import ConvolutionShape
from safs.deploy.sparse.lanes.buffers import Buffer, Buffers
from safs.deploy.sparse.lanes.layout import LANES, Lanes
from safs.deploy.sparse.lanes.memory import Block, Constants
from safs.deploy.sparse.lanes.program import Program
from safs.deploy.sparse.lanes.taps import taps_of

_POINTWISE = ConvolutionShape((1, 1), (0, 0), (1, 1))
_SIDES = (4, 2, 1)
"""Sides of the squares of vectors that are computed at once."""


class LaneLinear:
    """x W^T + b, whose cost is the number of weights that are not zero; one caller at a time.

    Args:
        weight: float32 [outputs, inputs].
        bias: float32 [outputs].
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._weight, self._bias = weight[:, :, None, None], np.array(bias.numpy(), np.float32)
        self._programs: dict[int, _Rows] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]."""
        rows = x.reshape(-1, x.shape[-1])
        side = next((side for side in _SIDES if len(rows) > LANES * (side - 1) ** 2), 1)
        if side not in self._programs:
            self._programs[side] = _Rows(self._weight, self._bias, side)
        return self._programs[side](rows).reshape(*x.shape[:-1], -1)


class _Rows:
    """The layer for blocks of rows."""

    def __init__(self, weight: Tensor, bias: np.ndarray, side: int) -> None:
        lanes, buffers = Lanes(LANES, 1, 1, side, side, 0), Buffers()
        self._source, self._target = (buffers.take(channels, lanes) for channels in weight.shape[1::-1])
        self._bytes, self._rows = buffers.size_bytes, LANES * side * side
        self._program = Program(Constants())
        taps = taps_of(weight, 1, _POINTWISE, lanes, (side, side))
        self._program.convolve(taps, bias, (1, 1), self._source, self._target, None, (-inf, inf, 1.0))
        self._memory: list[Block] = []

    def __call__(self, rows: Tensor) -> Tensor:
        output = torch.empty(len(rows), self._target.channels)
        firsts = range(0, len(rows), self._rows)
        threads = min(torch.get_num_threads(), len(firsts))
        self._memory += [Block(self._bytes) for _ in range(threads - len(self._memory))]
        others = [
            _pool(threads).submit(self._run, rows, output, firsts[thread::threads], self._memory[thread])
            for thread in range(1, threads)
        ]
        self._run(rows, output, firsts[::threads], self._memory[0])
        for other in others:
            other.result()
        return output

    @torch.inference_mode()
    def _run(self, rows: Tensor, output: Tensor, firsts: range, memory: Block) -> None:
        source, target = (self._values(buffer, memory) for buffer in (self._source, self._target))
        for first in firsts:
            part = rows[first : first + self._rows]
            source[:, : len(part)].copy_(part.t())
            self._program.run(memory.address, 0, 0)
            output[first : first + self._rows].copy_(target[:, : len(part)].t())

    def _values(self, buffer: Buffer, memory: Block) -> Tensor:
        first = buffer.position // 4
        return memory.values[first : first + buffer.size // 4].view(buffer.channels, self._rows)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads - 1, thread_name_prefix="safs-linear")
