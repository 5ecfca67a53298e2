"""One tensor with many zeros as a short string of bytes, and back, without loss.

The mask (1 where a weight is not +0.0) is range coded with the density of the tensor. Each live value is split: its
exponent with the first bits of its mantissa is a symbol that is range coded with the frequencies of the tensor, and its
sign with the other bits is stored as it is. docs/formats.md defines the layout.
"""

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from safs.errors import CheckpointError, MissingExtraError

Bits: TypeAlias = NDArray[Any]
"""The bits of float32 values, as uint32; those of bfloat16 values have zeros in their lower half."""

HEADER_WORDS = 7
"""Bits a value, mantissa bits a symbol, lowest symbol, length of the table, live values, coded words, dimensions."""
_MANTISSA = 7  # bits of bfloat16's mantissa, the part of a value that symbols can take bits from
_MOST_FREQUENT = 255  # frequencies are bytes, relative to the most frequent symbol
_LARGEST_WORD = 2**32 - 1
_SLACK_BITS = 64  # by which rounding could make a mask shorter than its entropy


def encode(values: NDArray[np.float32], *, bits: int = 32) -> bytes:
    """The coded form of ``values``.

    Args:
        values: any shape.
        bits: 32 keeps every bit. 16 rounds live values to bfloat16; none of them becomes zero or infinite.

    Raises:
        MissingExtraError: constriction is not installed.
    """
    pattern = np.ascontiguousarray(values).reshape(-1).view(np.uint32)
    mask = pattern != 0
    live = pattern[mask] if bits == 32 else round_to_bfloat16(pattern[mask])
    high = live >> 16
    taken = _cheapest_split(high)
    symbols, rest = _split(high, taken)
    lowest, table = _frequencies(symbols)
    encoder = _coder().stream.queue.RangeEncoder()
    if 0 < len(live) < len(mask):
        encoder.encode(mask.astype(np.int32), _density(len(live), len(mask)))
    if len(table) > 1:
        encoder.encode((symbols - lowest).astype(np.int32), _model(table))
    coded = encoder.get_compressed()
    header = [bits, taken, lowest, len(table), len(live), len(coded), values.ndim, *values.shape]
    parts = [
        np.array(header, "<u4").tobytes(),
        _padded(table.tobytes()),
        coded.astype("<u4").tobytes(),
        _padded(_pack(rest, 1 + _MANTISSA - taken)),
        live.astype("<u2").tobytes() if bits == 32 else b"",
    ]
    return b"".join(parts)


def decode(content: bytes) -> NDArray[np.float32]:
    """The values that ``encode`` was given, or their bfloat16 rounding.

    Raises:
        CheckpointError: ``content`` is cut short or inconsistent.
        MissingExtraError: constriction is not installed.
    """
    try:
        return _decoded(content)
    except (ValueError, IndexError, AssertionError, OverflowError, MemoryError) as error:
        raise CheckpointError(f"a coded tensor is damaged: {error}") from error


def round_to_bfloat16(pattern: Bits) -> Bits:
    """The nearest bfloat16 of each non-zero float32, ties to even; values that would become 0 or infinite are cut."""
    rounded = (pattern + np.uint32(0x7FFF) + ((pattern >> 16) & 1)) & np.uint32(0xFFFF0000)
    size, was = rounded & 0x7FFFFFFF, pattern & 0x7FFFFFFF
    not_finite = was >= 0x7F800000
    wrong = (size >= 0x7F800000) | (size == 0) | not_finite
    cut = pattern & np.uint32(0xFFFF0000)
    cut |= np.where(((cut & 0x7FFFFFFF) == 0) | (not_finite & (was != 0x7F800000)), np.uint32(0x10000), np.uint32(0))
    return np.where(wrong, cut, rounded).astype(np.uint32)


def bound_bytes(values: NDArray[np.float32], *, bits: int = 32) -> float:
    """The entropy of mask and live values, in bytes: what no code with one distribution a tensor can go below.

    It counts the positions of the live weights as a choice of k of n, and each value by the empirical entropy of its
    exponent and its first three bits of mantissa; the other bits of a weight are random.
    """
    pattern = np.ascontiguousarray(values).reshape(-1).view(np.uint32)
    live = pattern[pattern != 0]
    if bits == 16:
        live = round_to_bfloat16(live)
    n, k = len(pattern), len(live)
    symbols, _ = _split(live >> 16, 3)
    return (_position_bits(n, k) + k * (_entropy(symbols) + bits - 11)) / 8


def _position_bits(count: int, live: int) -> float:
    """The bits that choose ``live`` of ``count`` positions."""
    return (math.lgamma(count + 1) - math.lgamma(live + 1) - math.lgamma(count - live + 1)) / math.log(2)


def _decoded(content: bytes) -> NDArray[np.float32]:
    words = np.frombuffer(content, "<u4", HEADER_WORDS)
    bits, taken, lowest, table_size, live, coded_words, dimensions = map(int, words)
    if bits not in (16, 32) or taken > _MANTISSA or dimensions > 16:
        raise ValueError("its header is not one of this format")
    at = 4 * HEADER_WORDS
    shape = tuple(map(int, np.frombuffer(content, "<u4", dimensions, at)))
    table = np.frombuffer(content, np.uint8, table_size, at := at + 4 * dimensions)
    coded = np.frombuffer(content, "<u4", coded_words, at := at + _aligned(table_size)).astype(np.uint32)
    at += 4 * coded_words
    count, width = math.prod(shape), 1 + _MANTISSA - taken
    rest_bytes = (live * width + 7) // 8
    expected = at + _aligned(rest_bytes) + (2 * live if bits == 32 else 0)
    if live > count or expected != len(content):
        raise ValueError("its parts do not have the lengths that its header gives")
    if _position_bits(count, live) > 32 * coded_words + _SLACK_BITS:  # A wrong shape could take all memory.
        raise ValueError(f"its mask has fewer bits than {live} of {count} weights take")
    decoder = _coder().stream.queue.RangeDecoder(coded)
    mask = np.full(count, live == count)
    if 0 < live < count:
        mask = decoder.decode(_density(live, count), count).astype(bool)
    if int(mask.sum()) != live:
        raise ValueError(f"its mask keeps {int(mask.sum())} weights, its header says {live}")
    symbols = np.full(live, lowest, np.uint32)
    if table_size > 1:
        symbols += decoder.decode(_model(table), live).astype(np.uint32)
    high = _joined(symbols, _unpack(content[at : at + rest_bytes], live, width), taken)
    pattern = np.zeros(count, np.uint32)
    pattern[mask] = high << 16
    if bits == 32:
        pattern[mask] |= np.frombuffer(content, "<u2", live, at + _aligned(rest_bytes))
    return pattern.view(np.float32).reshape(shape)


def _split(high: Bits, taken: int) -> tuple[Bits, Bits]:
    """(exponent and ``taken`` bits of mantissa, sign and the other bits) of the upper halves of values."""
    left = _MANTISSA - taken
    return (high & 0x7FFF) >> left, ((high >> 15) << left) | (high & ((1 << left) - 1))


def _joined(symbols: Bits, rest: Bits, taken: int) -> Bits:
    left = _MANTISSA - taken
    return ((rest >> left) << 15) | (symbols << left) | (rest & ((1 << left) - 1))


def _cheapest_split(high: Bits) -> int:
    def bits(taken: int) -> float:
        symbols, _ = _split(high, taken)
        return len(high) * (_entropy(symbols) - taken) + 8 * _span(symbols)

    return min(range(5), key=bits)


def _span(symbols: Bits) -> int:
    return int(symbols.max()) - int(symbols.min()) + 1 if len(symbols) else 0


def _entropy(symbols: Bits) -> float:
    counts = np.bincount(symbols)
    shares = counts[counts > 0] / max(len(symbols), 1)
    return float(-(shares * np.log2(shares)).sum())


def _frequencies(symbols: Bits) -> tuple[int, NDArray[np.uint8]]:
    """The lowest symbol, and the frequency of it and each symbol that follows, as bytes."""
    if not len(symbols):
        return 0, np.zeros(0, np.uint8)
    lowest = int(symbols.min())
    counts = np.bincount(symbols - lowest)
    # Rounded up in integers: a symbol that occurs needs a frequency, and 256 would not fit.
    return lowest, (-(-counts * _MOST_FREQUENT // counts.max())).astype(np.uint8)


def _model(table: NDArray[np.uint8]) -> Any:
    weights = table.astype(np.float64)
    return _coder().stream.model.Categorical(weights / weights.sum(), perfect=False)


def _density(live: int, count: int) -> Any:
    return _coder().stream.model.Bernoulli(live / count, perfect=False)


def _pack(values: Bits, width: int) -> bytes:
    """The lowest ``width`` (at most 8) bits of each value, one after the other, the highest bit first."""
    rows = np.unpackbits(values.astype(np.uint8)[:, None], axis=1)[:, 8 - width :]
    return np.packbits(rows.reshape(-1)).tobytes()


def _unpack(content: bytes, count: int, width: int) -> Bits:
    rows = np.unpackbits(np.frombuffer(content, np.uint8), count=count * width).reshape(count, width)
    padded = np.concatenate([np.zeros((count, 8 - width), np.uint8), rows], axis=1)
    return np.packbits(padded, axis=1).reshape(count).astype(np.uint32)


def _padded(content: bytes) -> bytes:
    return content.ljust(_aligned(len(content)), b"\0")


def _aligned(size: int) -> int:
    return (size + 3) // 4 * 4


def _coder() -> Any:
    try:
        import constriction
    except ModuleNotFoundError as error:
        raise MissingExtraError("a compact checkpoint", "constriction", "sparse") from error
    return constriction
