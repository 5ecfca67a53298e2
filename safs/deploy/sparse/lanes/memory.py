"""Memory of a network in lanes."""

import numpy as np
import torch

_ALIGNMENT = 64
_CHUNK_BYTES = 2**20


class Block:
    """Zeroed memory that begins at a multiple of a vector's size."""

    def __init__(self, size_bytes: int) -> None:
        memory = np.zeros(size_bytes + _ALIGNMENT, np.uint8)
        first = -memory.ctypes.data % _ALIGNMENT
        self.array = memory[first : first + size_bytes]
        """uint8 [bytes]; keeps the memory alive."""
        self.address = int(self.array.ctypes.data)
        self.values = torch.from_numpy(self.array.view(np.float32))
        """float32 [bytes / 4], the same memory."""


class Constants:
    """Copies of arrays, close to each other, so that reading them one after the other is fast."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._used = 0

    def keep(self, array: np.ndarray) -> int:
        """The address of a copy of ``array``, which lives as long as this object."""
        size = -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
        if not self._blocks or self._used + size > len(self._blocks[-1].array):
            self._blocks.append(Block(max(_CHUNK_BYTES, size)))
            self._used = 0
        block, first = self._blocks[-1], self._used
        block.array[first : first + array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self._used += size
        return block.address + first


class Plan:
    """Positions of buffers in a block, which are used again when they are given back."""

    def __init__(self, begin: int) -> None:
        self.end = begin
        """Bytes that all buffers need."""
        self._free: list[tuple[int, int]] = []
        """First and last + 1 byte of what was given back, in order."""

    def take(self, size: int, *, unused: bool = False) -> int:
        """The position of ``size`` bytes; ``unused`` ones had no buffer before."""
        if unused:
            self.end += size
            return self.end - size
        fitting = [(end - first, first, end) for first, end in self._free if end - first >= size]
        if not fitting:
            if self._free and self._free[-1][1] == self.end:  # what is free at the end can grow
                first, _ = self._free.pop()
                self.end = first
            first, self.end = self.end, self.end + size
            return first
        _, first, end = min(fitting)
        self._free.remove((first, end))
        if first + size < end:
            self._free.append((first + size, end))
            self._free.sort()
        return first

    def give_back(self, position: int, size: int) -> None:
        """Let other buffers use these bytes."""
        merged = [(position, position + size)]
        for first, end in self._free:
            if first == merged[0][1] or end == merged[0][0]:
                merged[0] = min(first, merged[0][0]), max(end, merged[0][1])
            else:
                merged.append((first, end))
        self._free = sorted(merged)
