"""A strict parser of safetensors files, and a program that runs it in a sandboxed process.

``python -I -S strict_safetensors.py`` reads a file from standard input and writes one line of JSON. Before it reads, it
limits its own memory, processor time, files and processes, so that a hostile file cannot use them. It imports only the
standard library and starts within a few hundredths of a second.

The format: the header's length as 8 bytes, little-endian; the header, a JSON object that maps tensor names to
``dtype``, ``shape`` and ``data_offsets``, and optionally ``__metadata__`` to a map from strings to strings, padded with
spaces; the bytes of all tensors without gaps. See https://huggingface.co/docs/safetensors.
"""

import gc
import json
import os
import resource
import struct
import sys
from math import prod
from typing import Any, BinaryIO, NamedTuple, NoReturn

MAX_HEADER_BYTES = 8 * 2**20
MAX_TENSORS = 20_000
"""Maximum number of tensors. The largest networks of torchvision and timm have about 3,000."""
MAX_DIMENSIONS = 32
MAX_NAME_LENGTH = 300
MEMORY_BYTES = 192 * 2**20
"""Memory limit of the process. The largest accepted header needs half of it."""
CHUNK_BYTES = 2**20
NETWORK = "safs.network"
"""Key of the document of a declared network in the metadata."""
BYTES_OF_DTYPE = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "I32": 4, "I64": 8, "F16": 2, "BF16": 2, "F32": 4, "F64": 8}
"""Bytes per number of each accepted dtype: those that a network's state dict can hold."""

_TORCH_SAVE = (b"PK\x03\x04", b"\x80\x02")
"""First bytes of a file of torch.save: a zip archive, or a pickle in its older format."""
_QUOTED_LENGTH = 60


class Refused(Exception):
    """The file is invalid; the message says why."""


class TooLarge(Refused):
    """The file is larger than the limit, or its header says so."""


class Tensor(NamedTuple):
    """Position of a tensor's bytes, counted from the end of the header."""

    begin: int
    end: int
    name: str
    dtype: str


def parse(file: BinaryIO, *, limit_bytes: int) -> int:
    """The number of tensors in the file, which is read once and refused at the first invalid byte.

    Raises:
        Refused: the file is truncated; the header is not JSON, too long, has too many entries, or a duplicate or
            invalid name; sizes overflow; bytes overlap, leave gaps or do not fit the shape; a dtype is not accepted; a
            number is not finite, also as float32; or the file is one of torch.save.
        TooLarge: the file is larger than ``limit_bytes``.
    """
    header = _read_header_bytes(file)
    tensors = read_header(header)
    declared = 8 + len(header) + (tensors[-1].end if tensors else 0)
    if declared > limit_bytes:
        raise TooLarge(f"the file's header declares {declared} bytes")
    for tensor in tensors:
        _check_values(file, tensor, declared)
    if file.read(1):
        raise Refused(f"the file has more bytes than its header and tensors need, which is {declared}")
    return len(tensors)


def read_header(header: bytes) -> list[Tensor]:
    """The tensors in the order of their bytes.

    Raises:
        Refused: the header is invalid.
    """
    try:
        text = header.decode()
        parsed = json.loads(
            text,
            object_pairs_hook=_reject_duplicates,
            parse_constant=_reject_number,
            parse_float=_reject_number,
            parse_int=_size,
        )
    except (ValueError, RecursionError) as error:
        raise Refused(f"the file is not a safetensors file: its header is not JSON ({error})") from error
    if not isinstance(parsed, dict):
        raise Refused("the file is not a safetensors file: its header is not a JSON object")
    if not header.startswith(b"{") or not header.rstrip(b" ").endswith(b"}"):
        raise Refused("the header must begin with '{' and may be padded only with spaces at its end")
    metadata = parsed.pop("__metadata__", {})
    _check_metadata(metadata)
    if not parsed and NETWORK not in metadata:  # a network can come without any weights
        raise Refused("the file has no tensors")
    if len(parsed) > MAX_TENSORS:
        raise Refused(f"the header has {len(parsed)} entries; the limit is {MAX_TENSORS}")
    tensors = sorted(_tensor(name, entry) for name, entry in parsed.items())
    _check_order(tensors)
    return tensors


def main() -> None:
    """Parse standard input and write ``{"tensors": 3}``, ``{"refused": "why"}`` or ``{"too_large": "why"}``."""
    limit_bytes, cpu_s = int(sys.argv[1]), int(sys.argv[2])
    limit_resources(cpu_s)
    result: dict[str, Any]
    try:
        result = {"tensors": parse(sys.stdin.buffer, limit_bytes=limit_bytes)}
    except TooLarge as error:
        result = {"too_large": str(error)}
    except Refused as error:
        result = {"refused": str(error)}
    except MemoryError:
        result = {"refused": f"parsing the file's header needs more than {MEMORY_BYTES // 2**20} MiB of memory"}
    os.write(1, json.dumps(result).encode() + b"\n")


def limit_resources(cpu_s: int) -> None:
    """Limit the memory, processor time, files and processes of this process."""
    limits = {
        resource.RLIMIT_AS: MEMORY_BYTES,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: 3,
    }
    for limit, most in limits.items():
        resource.setrlimit(limit, (most, most))
    gc.disable()  # One parse makes no cyclic garbage, and collecting takes longer than the parse.


def written_by_torch_save() -> Refused:
    """The refusal of a file of torch.save, with the line that converts it."""
    return Refused(
        "the file was written by torch.save (.pt, .pth), or is another pickle. A pickle can run code, so only "
        "safetensors files are taken. Convert it: safetensors.torch.save_file(torch.load('weights.pt', "
        "weights_only=True), 'weights.safetensors')"
    )


def _read_header_bytes(file: BinaryIO) -> bytes:
    start = _read_exactly(file, 8)
    if start.startswith(_TORCH_SAVE):
        raise written_by_torch_save()
    length = int.from_bytes(start, "little")
    if length > MAX_HEADER_BYTES:
        raise Refused(
            f"the file is not a safetensors file: its first 8 bytes give a header of {length} bytes, and the limit is "
            f"{MAX_HEADER_BYTES}"
        )
    return _read_exactly(file, length)


def _read_exactly(file: BinaryIO, size: int) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise Refused("the file is truncated, or not a safetensors file: it ends inside its header")
    return content


def _reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise Refused(f"the header has the key {shown(name)} twice")
        found[name] = value
    return found


def _reject_number(text: str) -> NoReturn:
    raise Refused(
        f"the header holds the number {text[:_QUOTED_LENGTH]}; only sizes are allowed, integers from 0 to 2**63 - 1"
    )


def _size(text: str) -> int:
    # Numbers below 2**63 have at most 19 digits. Python needs quadratic time to parse long ones.
    if not text.isdecimal() or len(text) > 19 or int(text) >= 2**63:
        _reject_number(text)
    return int(text)


def _check_metadata(metadata: Any) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise Refused("the header's __metadata__ must map strings to strings")
    for text in (*metadata, *metadata.values()):
        if any(map(_is_surrogate, text)):
            raise Refused("the header's __metadata__ holds a lone surrogate, which is not valid text")


def _is_surrogate(character: str) -> bool:
    return "\ud800" <= character <= "\udfff"


def _tensor(name: str, entry: Any) -> Tensor:
    if not 0 < len(name) <= MAX_NAME_LENGTH or not name.isprintable():
        raise Refused(
            f"a tensor has the name {shown(name)} of {len(name)} characters; names must have 1 to {MAX_NAME_LENGTH} "
            "printable characters"
        )
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [begin, end], **rest} if not rest:
            pass
        case _:
            raise Refused(f"the header's entry for {shown(name)} must have exactly dtype, shape and data_offsets")
    if dtype not in BYTES_OF_DTYPE:
        raise Refused(f"tensor {shown(name)} has the dtype {shown(dtype)}; allowed: {', '.join(BYTES_OF_DTYPE)}")
    if len(shape) > MAX_DIMENSIONS or not all(type(number) is int for number in (*shape, begin, end)):
        raise Refused(
            f"tensor {shown(name)} has a shape or offsets that are not sizes, or more than {MAX_DIMENSIONS} dimensions"
        )
    # Empty tensors are checked too, since a tensor of shape [0, 2**62, 2**62] cannot be created.
    if BYTES_OF_DTYPE[dtype] * prod(max(size, 1) for size in shape) >= 2**63:
        raise Refused(f"tensor {shown(name)} of shape {shape} is too large: its size overflows 63 bits")
    if end - begin != prod(shape) * BYTES_OF_DTYPE[dtype]:
        raise Refused(f"tensor {shown(name)} of shape {shape} and dtype {dtype} cannot have {end - begin} bytes")
    return Tensor(begin, end, name, dtype)


def _check_order(tensors: list[Tensor]) -> None:
    expected = 0
    for begin, end, name, _ in tensors:
        if begin != expected:
            what = "overlaps the tensor before it" if begin < expected else "leaves a gap before it"
            raise Refused(f"tensor {shown(name)} {what}: it begins at byte {begin}, not {expected}")
        expected = end


def _check_values(file: BinaryIO, tensor: Tensor, declared: int) -> None:
    rest = tensor.end - tensor.begin
    while rest:
        size = min(rest, CHUNK_BYTES)
        chunk = file.read(size)
        if len(chunk) < size:
            raise Refused(
                f"the file is truncated: it ends inside tensor {shown(tensor.name)}; its header declares "
                f"{declared} bytes"
            )
        if not all_finite(chunk, tensor.dtype):
            raise Refused(f"tensor {shown(tensor.name)} holds a number that is not finite (NaN or infinity)")
        if tensor.dtype == "F64" and not fits_float32(chunk):
            raise Refused(
                f"tensor {shown(tensor.name)} has values beyond the range of float32, in which networks train"
            )
        rest -= size


def _marking(mask: int) -> bytes:
    """A translation table that maps bytes with all bits of ``mask`` to 1 and others to 0."""
    return bytes(byte & mask == mask for byte in range(256))


# A float is NaN or infinite if and only if all bits of its exponent are 1. The masks of these bits in the last byte and
# in the one before it:
_EXPONENTS = {
    "F16": (_marking(0x7C), None),
    "BF16": (_marking(0x7F), _marking(0x80)),
    "F32": (_marking(0x7F), _marking(0x80)),
    "F64": (_marking(0x7F), _marking(0xF0)),
}


def all_finite(numbers: bytes, dtype: str) -> bool:
    """True if ``numbers``, little-endian and complete, hold neither NaN nor infinities."""
    if dtype not in _EXPONENTS:
        return True
    width = BYTES_OF_DTYPE[dtype]
    high, low = _EXPONENTS[dtype]
    suspects = numbers[width - 1 :: width].translate(high)
    if 1 not in suspects:
        return True
    if low is None:
        return False
    confirmed = numbers[width - 2 :: width].translate(low)
    # The bitwise AND of both tables has a 1 where both bytes match.
    return not int.from_bytes(suspects, "little") & int.from_bytes(confirmed, "little")


FLOAT32_OVERFLOW = (2 - 2**-24) * 2.0**127
"""Smallest number that becomes infinite as float32."""
_LARGE = bytes((byte & 0x7F) >= 0x47 for byte in range(256))
"""Marks the last byte of numbers of float64 from 2**113, the only ones that can overflow."""


def fits_float32(numbers: bytes) -> bool:
    """True if ``numbers``, finite little-endian float64 and complete, stay finite as float32."""
    if 1 not in numbers[7::8].translate(_LARGE):
        return True
    return all(abs(number) < FLOAT32_OVERFLOW for number in struct.unpack(f"<{len(numbers) // 8}d", numbers))


def shown(text: str) -> str:
    """Text from a file as an ASCII literal for a message, shortened to 60 characters."""
    return ascii(text if len(text) <= _QUOTED_LENGTH else text[:_QUOTED_LENGTH] + "...")


if __name__ == "__main__":
    main()
