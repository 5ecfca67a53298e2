"""Strict reading of safetensors as they arrive: the first bytes that cannot be right end the upload.

The format: 8 bytes, little-endian, the header's length; the header, a JSON object from tensor names to ``dtype``,
``shape`` and ``data_offsets``, and optionally ``__metadata__`` from strings to strings; then the tensors' bytes,
back to back. See https://huggingface.co/docs/safetensors.
"""

import json
from collections import Counter
from math import prod
from typing import Any, NoReturn, Protocol

from api.errors import UploadError, UploadTooLargeError

LONGEST_HEADER_BYTES = 16 * 2**20
MOST_DIMENSIONS = 32
BYTES_OF_DTYPE = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 8),
}


class Readable(Protocol):
    """A binary stream; an empty answer is its end."""

    def read(self, size: int, /) -> bytes: ...


class SafetensorsStream:
    """``source``, passed on unchanged as long as it is well-formed safetensors.

    Args:
        limit_bytes: longest allowed file.
    """

    def __init__(self, source: Readable, *, limit_bytes: int) -> None:
        self._source = source
        self._limit_bytes = limit_bytes
        self._start = bytearray()
        self._size_bytes = 0
        self._expected_bytes: int | None = None
        self.tensors = 0
        """Known once the header has been read."""

    def read(self, size: int, /) -> bytes:
        """The next bytes of the source.

        Raises:
            UploadTooLargeError: the file is longer than allowed, or says that it will be.
            UploadError: the file is not well-formed: truncated, no JSON, a name twice, an unknown dtype, bytes that
                overlap, leave gaps, or do not fit the shape.
        """
        chunk = self._source.read(size)
        self._size_bytes += len(chunk)
        if self._expected_bytes is None:
            self._start += chunk
            self._read_header()
        self._check_size(at_end=not chunk)
        return chunk

    def _read_header(self) -> None:
        length = int.from_bytes(self._start[:8], "little") if len(self._start) >= 8 else 0
        if length > LONGEST_HEADER_BYTES:
            raise UploadError(
                f"the file is no safetensors file: its first 8 bytes announce a header of {length} bytes, and "
                f"{LONGEST_HEADER_BYTES} are allowed"
            )
        if 8 <= 8 + length <= len(self._start) and len(self._start) >= 8:
            self.tensors, data_bytes = parse_header(bytes(self._start[8 : 8 + length]))
            self._expected_bytes = 8 + length + data_bytes
            self._start.clear()

    def _check_size(self, *, at_end: bool) -> None:
        size, expected = self._size_bytes, self._expected_bytes
        if max(size, expected or 0) > self._limit_bytes:
            raise UploadTooLargeError(
                f"the file is longer than the {self._limit_bytes} bytes that SAFS_UPLOAD_LIMIT_BYTES allows"
            )
        if expected is not None and size > expected:
            raise UploadError(f"the file has more bytes than its header and tensors, which take {expected}")
        if at_end and expected is None:
            raise UploadError(
                f"the file is truncated or no safetensors file: it ends after {size} bytes, in its header"
            )
        if at_end and size != expected:
            raise UploadError(f"the file is truncated: it has {size} bytes, its header promises {expected}")


def parse_header(header: bytes) -> tuple[int, int]:
    """How many tensors the file has, and how many bytes they take.

    Raises:
        UploadError: the header is not well-formed.
    """
    try:
        parsed = json.loads(header.decode(), object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UploadError(f"the file is no safetensors file: its header is not JSON ({error})") from error
    if not isinstance(parsed, dict):
        raise UploadError("the file is no safetensors file: its header is not a JSON object")
    metadata = parsed.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise UploadError("the header's __metadata__ must map strings to strings")
    if not parsed:
        raise UploadError("the file holds no tensor")
    extents = sorted((*_extent(name, entry), name) for name, entry in parsed.items())
    return len(extents), _end_of_data(extents)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise UploadError(f"the header names {twice!r} twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise UploadError(f"the header holds {name}, which is not JSON")


def _extent(name: str, entry: Any) -> tuple[int, int]:
    """Where the tensor's bytes begin and end, counted from the end of the header."""
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [begin, end], **rest} if not rest:
            pass
        case _:
            raise UploadError(f"the header's entry for {name!r} must have exactly dtype, shape and data_offsets")
    if dtype not in BYTES_OF_DTYPE:
        raise UploadError(f"tensor {name!r} has the unknown dtype {dtype!r}; known: {', '.join(BYTES_OF_DTYPE)}")
    if len(shape) > MOST_DIMENSIONS or not all(_is_size(number) for number in (*shape, begin, end)):
        raise UploadError(f"tensor {name!r} has a shape or offsets that are no sizes")
    if end - begin != prod(shape) * BYTES_OF_DTYPE[dtype]:
        raise UploadError(f"tensor {name!r} of shape {shape} and dtype {dtype} cannot have {end - begin} bytes")
    return begin, end


def _is_size(number: Any) -> bool:
    return type(number) is int and 0 <= number < 2**63


def _end_of_data(extents: list[tuple[int, int, str]]) -> int:
    expected = 0
    for begin, end, name in extents:
        if begin != expected:
            what = "overlaps the tensor before it" if begin < expected else "leaves a gap before it"
            raise UploadError(f"tensor {name!r} {what}: it begins at byte {begin}, not {expected}")
        expected = end
    return expected
