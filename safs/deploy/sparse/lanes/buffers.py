"""Buffers of activations in the block of memory of a network."""

from dataclasses import dataclass

from safs.deploy.sparse.lanes.layout import VECTOR_BYTES, Lanes
from safs.deploy.sparse.lanes.memory import Plan

_EDGE = VECTOR_BYTES
"""Bytes before and after all buffers, since copies of lanes begin and end up to a vector away."""


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


class Buffers:
    """Gives buffers, and uses their memory again."""

    def __init__(self) -> None:
        self._plan = Plan(_EDGE)
        self._zeroed: dict[tuple[int, Lanes], list[Buffer]] = {}
        """Free buffers whose padding is never written."""

    @property
    def size_bytes(self) -> int:
        """Bytes that all buffers need."""
        return self._plan.end + _EDGE

    def take(self, channels: int, lanes: Lanes) -> Buffer:
        """A buffer with any values; padding that no operation fills is zero."""
        free = self._zeroed.get((channels, lanes))
        if free:
            return free.pop()
        size, unused = channels * lanes.channel_bytes, _keeps_padding(lanes)
        return Buffer(self._plan.take(size, unused=unused), channels, lanes)

    def give_back(self, buffer: Buffer) -> None:
        """Let other values use the memory of ``buffer``."""
        if _keeps_padding(buffer.lanes):
            self._zeroed.setdefault((buffer.channels, buffer.lanes), []).append(buffer)
        else:
            self._plan.give_back(buffer.position, buffer.size)


def _keeps_padding(lanes: Lanes) -> bool:
    """True if the padding of a buffer has zeros from the begin, which nothing writes."""
    return lanes.pad > 0 and lanes.parts == 1
