"""A strict parser of safetensors files, and the program that runs it apart from the service.

``python -I -S strict_safetensors.py`` reads a file from its standard input and answers one line of JSON. It takes away
from itself, before it reads, whatever a hostile file could use: memory, time, other files, other processes. So it
imports nothing but Python's own library, and starts in a few hundredths of a second.

The format: 8 bytes, little-endian, the header's length; the header, a JSON object from tensor names to ``dtype``,
``shape`` and ``data_offsets``, and optionally ``__metadata__`` from strings to strings, padded with spaces; then the
tensors' bytes, back to back. See https://huggingface.co/docs/safetensors.
"""

import gc
import json
import os
import resource
import sys
from math import prod
from typing import Any, BinaryIO, NamedTuple, NoReturn

LONGEST_HEADER_BYTES = 8 * 2**20
MOST_TENSORS = 20_000
"""The largest networks of torchvision and timm have some 3,000."""
MOST_DIMENSIONS = 32
LONGEST_NAME = 300
MEMORY_BYTES = 192 * 2**20
"""Of the process; the longest header that is accepted takes half of it."""
CHUNK_BYTES = 2**20
BYTES_OF_DTYPE = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "I32": 4, "I64": 8, "F16": 2, "BF16": 2, "F32": 4, "F64": 8}
"""What a network's state dict can hold."""

_SHOWN = 60


class Refused(Exception):
    """The file is not what it must be; says why."""


class TooLarge(Refused):
    """The file has, or says that it will have, more bytes than are allowed."""


class Tensor(NamedTuple):
    """Where a tensor's bytes are, counted from the end of the header."""

    begin: int
    end: int
    name: str
    dtype: str


def parse(file: BinaryIO, *, limit_bytes: int) -> int:
    """How many tensors the file has; read once from start to end, and refused at the first byte that is wrong.

    Raises:
        Refused: truncated; a header that is no JSON, too long, has too many entries, a name twice or a bad one; sizes
            that overflow; bytes that overlap, leave gaps or do not fit the shape; a dtype that no state dict has; a
            number that is not finite.
        TooLarge: longer than ``limit_bytes``.
    """
    header = _take_header(file)
    tensors = read_header(header)
    promised = 8 + len(header) + tensors[-1].end
    if promised > limit_bytes:
        raise TooLarge(f"the file's header promises {promised} bytes")
    for tensor in tensors:
        _check_values(file, tensor, promised)
    if file.read(1):
        raise Refused(f"the file has more bytes than its header and tensors, which take {promised}")
    return len(tensors)


def read_header(header: bytes) -> list[Tensor]:
    """The tensors in the order of their bytes; raises ``Refused``."""
    try:
        text = header.decode()
        parsed = json.loads(
            text,
            object_pairs_hook=_without_duplicates,
            parse_constant=_refuse_number,
            parse_float=_refuse_number,
            parse_int=_size,
        )
    except (ValueError, RecursionError) as error:
        raise Refused(f"the file is no safetensors file: its header is not JSON ({error})") from error
    if not isinstance(parsed, dict):
        raise Refused("the file is no safetensors file: its header is not a JSON object")
    if not header.startswith(b"{") or not header.rstrip(b" ").endswith(b"}"):
        raise Refused("the header must begin with '{', and be padded with nothing but spaces at its end")
    _check_metadata(parsed.pop("__metadata__", {}))
    if not parsed:
        raise Refused("the file holds no tensor")
    if len(parsed) > MOST_TENSORS:
        raise Refused(f"the header has {len(parsed)} entries; at most {MOST_TENSORS} are read")
    tensors = sorted(_tensor(name, entry) for name, entry in parsed.items())
    _check_order(tensors)
    return tensors


def main() -> None:
    """Answers one line: ``{"tensors": 3}``, ``{"refused": "why"}`` or ``{"too_large": "why"}``."""
    limit_bytes, cpu_s = int(sys.argv[1]), int(sys.argv[2])
    _give_up_everything(cpu_s)
    answer: dict[str, Any]
    try:
        answer = {"tensors": parse(sys.stdin.buffer, limit_bytes=limit_bytes)}
    except TooLarge as error:
        answer = {"too_large": str(error)}
    except Refused as error:
        answer = {"refused": str(error)}
    except MemoryError:
        answer = {"refused": f"reading the file's header takes more than {MEMORY_BYTES // 2**20} MiB of memory"}
    os.write(1, json.dumps(answer).encode() + b"\n")


def _give_up_everything(cpu_s: int) -> None:
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
    gc.disable()  # There is no garbage in one parse, and looking for it takes longer than the parse.


def _take_header(file: BinaryIO) -> bytes:
    length = int.from_bytes(_take(file, 8), "little")
    if length > LONGEST_HEADER_BYTES:
        raise Refused(
            f"the file is no safetensors file: its first 8 bytes announce a header of {length} bytes, and "
            f"{LONGEST_HEADER_BYTES} are allowed"
        )
    return _take(file, length)


def _take(file: BinaryIO, size: int) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise Refused("the file is truncated or no safetensors file: it ends in its header")
    return content


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise Refused(f"the header names {shown(name)} twice")
        found[name] = value
    return found


def _refuse_number(text: str) -> NoReturn:
    raise Refused(f"the header holds {text[:_SHOWN]}; its numbers are sizes, whole and not negative")


def _size(text: str) -> int:
    # 19 digits hold every number below 2**63; Python takes quadratic time for long ones.
    if not text.isdecimal() or len(text) > 19 or int(text) >= 2**63:
        _refuse_number(text)
    return int(text)


def _check_metadata(metadata: Any) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise Refused("the header's __metadata__ must map strings to strings")
    for text in (*metadata, *metadata.values()):
        if any(map(_is_surrogate, text)):
            raise Refused("the header's __metadata__ holds half of a character (a lone surrogate)")


def _is_surrogate(character: str) -> bool:
    return "\ud800" <= character <= "\udfff"


def _tensor(name: str, entry: Any) -> Tensor:
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise Refused(
            f"a tensor is called {shown(name)} ({len(name)} characters); names have 1 to {LONGEST_NAME} printable ones"
        )
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [begin, end], **rest} if not rest:
            pass
        case _:
            raise Refused(f"the header's entry for {shown(name)} must have exactly dtype, shape and data_offsets")
    if dtype not in BYTES_OF_DTYPE:
        raise Refused(
            f"tensor {shown(name)} has the dtype {shown(dtype)}, which no state dict of a network has; "
            f"allowed: {', '.join(BYTES_OF_DTYPE)}"
        )
    if len(shape) > MOST_DIMENSIONS or not all(type(number) is int for number in (*shape, begin, end)):
        raise Refused(
            f"tensor {shown(name)} has a shape or offsets that are no sizes, or more than {MOST_DIMENSIONS} dimensions"
        )
    # Empty tensors too: one of shape [0, 2**62, 2**62] cannot be made.
    if BYTES_OF_DTYPE[dtype] * prod(max(size, 1) for size in shape) >= 2**63:
        raise Refused(f"tensor {shown(name)} has a shape that overflows")
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


def _check_values(file: BinaryIO, tensor: Tensor, promised: int) -> None:
    rest = tensor.end - tensor.begin
    while rest:
        size = min(rest, CHUNK_BYTES)
        chunk = file.read(size)
        if len(chunk) < size:
            raise Refused(
                f"the file is truncated: it ends in tensor {shown(tensor.name)}; its header promises {promised} bytes"
            )
        if not all_finite(chunk, tensor.dtype):
            raise Refused(f"tensor {shown(tensor.name)} holds a number that is not finite (NaN or infinite)")
        rest -= size


def _marking(mask: int) -> bytes:
    """A translation table: 1 for bytes that have all bits of ``mask``, else 0."""
    return bytes(byte & mask == mask for byte in range(256))


# A float is NaN or infinite exactly if all bits of its exponent are 1. Their masks in its last byte and the one before.
_EXPONENTS = {
    "F16": (_marking(0x7C), None),
    "BF16": (_marking(0x7F), _marking(0x80)),
    "F32": (_marking(0x7F), _marking(0x80)),
    "F64": (_marking(0x7F), _marking(0xF0)),
}


def all_finite(numbers: bytes, dtype: str) -> bool:
    """Whether little-endian ``numbers``, a whole number of them, hold neither NaN nor infinities."""
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
    # Lane by lane: bytes that are 1 in both.
    return not int.from_bytes(suspects, "little") & int.from_bytes(confirmed, "little")


def shown(text: str) -> str:
    """Text from a file, fit for a message."""
    return ascii(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


if __name__ == "__main__":
    main()
