"""A strict reader of arrays in numpy's format: the header, the promised size, and that all floats are finite.

The format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. The header is a Python literal; here
a regular expression matches it, and nothing evaluates it.
"""

import re
from collections.abc import Iterator
from math import prod
from typing import NamedTuple

from api.uploads.strict_safetensors import Refused, all_finite, shown

MAGIC = b"\x93NUMPY"
MAX_HEADER_BYTES = 10_000
"""Maximum length of a header; numpy's own limit."""
MAX_ARRAY_BYTES = 8 * 2**30
"""Maximum size of an array, which a job reads into memory."""
MAX_SAMPLES = 20_000_000
_KEYS = {
    "descr": r"'(?P<descr>[<>|=]?[a-zA-Z][0-9]{1,4})'",
    "fortran_order": r"(?P<fortran>True|False)",
    "shape": r"\((?P<shape>(?:[0-9]{1,19}, ?)*(?:[0-9]{1,19})?)\)",
}
_ENTRY = re.compile("|".join(rf"'(?P<{key}_key>{key})': ?{value}" for key, value in _KEYS.items()))
_DTYPES = {"f2": "F16", "f4": "F32", "f8": "F64"}


class Array(NamedTuple):
    """The header of an array."""

    kind: str
    """Letter of the dtype: ``u`` and ``i`` integers, ``f`` floats, ``b`` bool."""
    itemsize: int
    big_endian: bool
    shape: tuple[int, ...]


def read_array(name: str, size: int | None, content: Iterator[bytes]) -> Array:
    """The header of the array, whose bytes are read and checked to the end.

    Args:
        name: name of the array in messages.
        size: size of ``content`` if it is promised.

    Raises:
        Refused: the header is malformed, the array holds objects or numbers that are not finite, or it has another size
            than its shape says.
    """
    head, rest = _head(name, content)
    array = _parsed(name, head)
    needed = prod(array.shape) * array.itemsize
    if needed > MAX_ARRAY_BYTES or (array.shape and array.shape[0] > MAX_SAMPLES):
        raise Refused(
            f"the array {shown(name)} of shape {_short(array.shape)} has {needed:,} bytes; the limits are "
            f"{MAX_ARRAY_BYTES:,} bytes and {MAX_SAMPLES:,} samples"
        )
    if size is not None and size != len(head) + needed:
        raise _other_size(name, array, needed)
    found = _check_values(name, array, rest, needed)
    if found != needed:
        raise _other_size(name, array, needed)
    return array


def _head(name: str, content: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The bytes up to the end of the header, and those that follow."""
    ahead = b""
    for chunk in content:
        ahead += chunk
        if len(ahead) >= 12:
            break
    if not ahead.startswith(MAGIC) or len(ahead) < 12 or ahead[6:8] not in (b"\1\0", b"\2\0", b"\3\0"):
        raise Refused(f"the array {shown(name)} is not in numpy's format")
    width = 2 if ahead[6] == 1 else 4
    length = int.from_bytes(ahead[8 : 8 + width], "little")
    if length > MAX_HEADER_BYTES:
        raise Refused(f"the array {shown(name)} has a header of {length} bytes; the limit is {MAX_HEADER_BYTES}")
    end = 8 + width + length
    while len(ahead) < end:
        chunk = next(content, b"")
        if not chunk:
            raise Refused(f"the array {shown(name)} ends inside its header")
        ahead += chunk
    return ahead[:end], _joined(ahead[end:], content)


def _joined(first: bytes, content: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from content


def _parsed(name: str, head: bytes) -> Array:
    text = head[10 if head[6] == 1 else 12 :].decode("latin1").strip(" \n")
    found: dict[str, str] = {}
    inside = text[1:-1].strip(" ").removesuffix(",") if text.startswith("{") and text.endswith("}") else ""
    while inside:
        match = _ENTRY.match(inside)
        if match is None or (key := str(match.lastgroup and _key(match))) in found:
            break
        found[key] = match[{"descr": "descr", "fortran_order": "fortran", "shape": "shape"}[key]]
        inside = re.sub(r"^, ?", "", inside[match.end() :])
    if inside or len(found) != len(_KEYS):
        raise Refused(
            f"the array {shown(name)} has the header {shown(text)}; only plain arrays are read, no objects and records"
        )
    shape = tuple(int(size) for size in found["shape"].replace(" ", "").split(",") if size)
    descr = found["descr"].lstrip("<>|=")
    if descr[0] == "O" or len(shape) > 32 or prod(max(size, 1) for size in shape) >= 2**60:
        raise Refused(f"the array {shown(name)} of shape {_short(shape)} and {shown(descr)} cannot be read")
    width = int(descr[1:]) * (4 if descr[0] == "U" else 1)
    return Array(descr[0], width, found["descr"][0] == ">", shape)


def _key(match: re.Match[str]) -> str:
    return next(key for key in _KEYS if match[f"{key}_key"])


def _check_values(name: str, array: Array, content: Iterator[bytes], needed: int) -> int:
    """Check that all floats are finite; the number of bytes that were read."""
    dtype = _DTYPES.get(f"{array.kind}{array.itemsize}")
    found, rest = 0, b""
    for chunk in content:
        found += len(chunk)
        if found > needed:
            break
        if dtype is None:
            continue
        rest += chunk
        whole = len(rest) // array.itemsize * array.itemsize
        numbers, rest = rest[:whole], rest[whole:]
        if not all_finite(numbers[::-1] if array.big_endian else numbers, dtype):
            raise Refused(f"the array {shown(name)} holds a number that is not finite (NaN or infinity)")
    return found


def _other_size(name: str, array: Array, needed: int) -> Refused:
    return Refused(
        f"the array {shown(name)} of shape {_short(array.shape)} needs {needed:,} bytes and has another size"
    )


def _short(shape: tuple[int, ...]) -> str:
    return shown(str(shape))
