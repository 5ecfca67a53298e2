"""Streams that are read once: bytes with a look ahead, their inflation, and a budget against decompression bombs."""

import zlib
from collections.abc import Iterator
from typing import Protocol

from api.uploads.strict_safetensors import Refused

CHUNK_BYTES = 2**18
"""Largest piece that is read or inflated at once."""
FREE_BYTES = 64 * 2**20
"""Unpacked bytes up to which any compression ratio is accepted."""
MAX_RATIO = 200
"""Largest ratio of unpacked to packed bytes. Grey pictures of a drawing reach about 100."""


class Readable(Protocol):
    """A binary stream; ``read`` returns empty bytes at its end."""

    def read(self, size: int, /) -> bytes: ...


class ByteStream:
    """The bytes of ``source`` in order. ``position`` is the number of bytes that were taken."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._ahead = b""
        self._ended = False
        self.position = 0

    def peek(self, size: int) -> bytes:
        """The next ``size`` bytes, which stay in the stream; fewer at its end."""
        while len(self._ahead) < size:
            more = self._next()
            if not more:
                break
            self._ahead += more
        return self._ahead[:size]

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes; empty at the end."""
        if not self._ahead:
            self._ahead = self._next()
        taken, self._ahead = self._ahead[:size], self._ahead[size:]
        self.position += len(taken)
        return taken

    def exactly(self, size: int, where: str) -> bytes:
        """The next ``size`` bytes, which must be few; raises ``Refused`` if the stream ends before."""
        taken = self.peek(size)
        if len(taken) < size:
            raise truncated(where)
        self._ahead = self._ahead[size:]
        self.position += size
        return taken

    def chunks(self, size: int, where: str) -> Iterator[bytes]:
        """The next ``size`` bytes in pieces; raises ``Refused`` if the stream ends before."""
        while size:
            chunk = self.read(min(size, CHUNK_BYTES))
            if not chunk:
                raise truncated(where)
            size -= len(chunk)
            yield chunk

    def give_back(self, content: bytes) -> None:
        """Put bytes that were taken too far back to the front."""
        self._ahead = content + self._ahead
        self.position -= len(content)

    def _next(self) -> bytes:
        chunk = b"" if self._ended else self._source.read(CHUNK_BYTES)
        self._ended = not chunk
        return chunk


class Budget:
    """Counts the bytes that an archive unpacks to.

    Args:
        packed: the archive's stream, whose position counts the packed bytes.
        limit_bytes: maximum number of unpacked bytes.
    """

    def __init__(self, packed: ByteStream, limit_bytes: int) -> None:
        self._packed = packed
        self._limit_bytes = limit_bytes
        self._unpacked = 0

    def promise(self, size: int, what: str) -> None:
        """Refuse a size that a header promises and that does not fit, before any of its bytes are read."""
        if self._unpacked + size > self._limit_bytes:
            raise Refused(f"{what} has {size:,} bytes; the archive may unpack to {self._limit_bytes:,} bytes in all")

    def take(self, size: int) -> None:
        """Count unpacked bytes; raises ``Refused`` above the limit or the largest ratio."""
        self._unpacked += size
        if self._unpacked > self._limit_bytes:
            raise Refused(f"the archive unpacks to more than {self._limit_bytes:,} bytes")
        if self._unpacked > FREE_BYTES and self._unpacked > MAX_RATIO * self._packed.position:
            raise Refused(
                f"the archive unpacks to more than {MAX_RATIO} times its size, as a decompression bomb does; send it "
                "without compression"
            )


class Inflated:
    """The content of compressed bytes, inflated as it is read.

    Args:
        packed: the stream of the compressed bytes. What follows them stays in it.
        wbits: format of the bytes, as in ``zlib.decompressobj``: -15 is raw deflate, 31 is gzip.
        what: name of the content in messages.
        size: number of compressed bytes; None if only the data say where they end.
    """

    def __init__(self, packed: ByteStream, budget: Budget, wbits: int, what: str, size: int | None = None) -> None:
        self._packed, self._budget, self._what, self._left = packed, budget, what, size
        self._inflater = zlib.decompressobj(wbits)
        self._ahead = b""
        self._done = False

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes; empty at the end of the content. Raises ``Refused`` for damaged data."""
        while not self._inflater.eof:
            if not self._ahead:
                self._ahead = self._next_packed()
            try:
                content = self._inflater.decompress(self._ahead, max(1, min(size, CHUNK_BYTES)))
            except zlib.error as error:
                raise Refused(f"{self._what} is damaged: its compressed data cannot be inflated") from error
            self._ahead = self._inflater.unconsumed_tail
            if content:
                self._budget.take(len(content))
                return content
        if not self._done:
            self._finish()
        return b""

    def _next_packed(self) -> bytes:
        if self._left == 0:
            raise Refused(f"{self._what} is damaged: its compressed data do not end where its size says")
        packed = self._packed.read(CHUNK_BYTES if self._left is None else min(self._left, CHUNK_BYTES))
        if not packed:
            raise truncated(self._what)
        if self._left is not None:
            self._left -= len(packed)
        return packed

    def _finish(self) -> None:
        self._done = True
        unused = self._inflater.unused_data
        if self._left is None:
            self._packed.give_back(unused)
        elif unused or self._left:
            raise Refused(f"{self._what} has more compressed bytes than it needs")


def truncated(where: str) -> Refused:
    """The refusal of a file that ends too early."""
    return Refused(f"the file is truncated: it ends inside {where}")
