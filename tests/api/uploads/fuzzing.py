"""Inputs for the parser: good files, good files with damage, headers of odd parts, and bytes."""

import json
import os
import re
from collections.abc import Iterator
from math import prod
from random import Random
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from api.uploads.strict_safetensors import BYTES_OF_DTYPE
from tests.api.uploads.corpus import WEIGHTS, file, hostile

MANY = "FUZZ_EXAMPLES" in os.environ
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2000"))
"""Number of randomly mutated inputs; hypothesis draws a tenth as many of each kind. ``make fuzz`` sets a larger number,
and each of its runs draws new ones."""
SETTINGS = settings(
    max_examples=EXAMPLES // 10,
    deadline=None,
    derandomize=not MANY,
    database=None,
    suppress_health_check=list(HealthCheck),
)

_NAMES = st.one_of(st.sampled_from(["w", "conv1.weight", "ünï", "__metadata__", ""]), st.text(max_size=8))
_SIZES = st.one_of(
    st.integers(0, 9),
    st.sampled_from([-1, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64, 1.0, 1e300, True, None, "1", [], {}]),
)
_DTYPES = st.sampled_from([*BYTES_OF_DTYPE, "F8_E4M3", "C64", "U64", "f32", "", None, 7])
_ODD_NUMBERS = ["-1", "-0", "1.0", "1e2", "9223372036854775807", "9223372036854775808", "18446744073709551616", "00"]


@st.composite
def good_files(draw: st.DrawFn) -> bytes:
    """Files that the format allows; their floats may be anything."""
    tensors = draw(
        st.dictionaries(
            st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8),
            st.tuples(st.sampled_from(sorted(BYTES_OF_DTYPE)), st.lists(st.integers(0, 4), max_size=3)),
            min_size=1,
            max_size=4,
        )
    )
    header: dict[str, Any] = {}
    end = 0
    for name, (dtype, shape) in tensors.items():
        begin, end = end, end + prod(shape) * BYTES_OF_DTYPE[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    if draw(st.booleans()):
        header["__metadata__"] = draw(st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2))
    text = json.dumps(header, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass")
    return file(text + b" " * draw(st.integers(0, 8)), draw(_data(end)))


def _data(size: int) -> st.SearchStrategy[bytes]:
    return st.one_of(st.just(bytes(size)), st.binary(min_size=size, max_size=size))


@st.composite
def damaged_files(draw: st.DrawFn) -> bytes:
    """Good files with some bytes or numbers changed, moved, left out or put in twice."""
    content = draw(good_files())
    for _ in range(draw(st.integers(1, 3))):
        content = draw(st.sampled_from([_with_a_byte, _with_a_number, _without_a_piece, _with_a_piece_twice]))(
            draw, content
        )
    if draw(st.booleans()):  # The damage has moved the header's end.
        size = len(content) - draw(st.integers(0, 16)) - 8
        content = max(size, 0).to_bytes(8, "little") + content[8:]
    return content


def _with_a_byte(draw: st.DrawFn, content: bytes) -> bytes:
    place = draw(st.integers(0, max(len(content) - 1, 0)))
    return content[:place] + draw(st.binary(min_size=1, max_size=1)) + content[place + 1 :]


def _with_a_number(draw: st.DrawFn, content: bytes) -> bytes:
    places = list(re.finditer(rb"\d+", content[8:]))
    if not places:
        return content
    place = draw(st.sampled_from(places))
    begin, end = place.start() + 8, place.end() + 8
    number = draw(st.sampled_from(_ODD_NUMBERS) | st.integers(0, 99).map(str)).encode()
    changed = content[:begin] + number + content[end:]
    length = int.from_bytes(content[:8], "little") + len(number) - (end - begin)
    return max(length, 0).to_bytes(9, "little")[:8] + changed[8:]


def _without_a_piece(draw: st.DrawFn, content: bytes) -> bytes:
    begin = draw(st.integers(0, len(content)))
    return content[:begin] + content[begin + draw(st.integers(1, 16)) :]


def _with_a_piece_twice(draw: st.DrawFn, content: bytes) -> bytes:
    begin = draw(st.integers(0, len(content)))
    piece = content[begin : begin + draw(st.integers(1, 64))]
    return content[:begin] + piece + content[begin:]


_ENTRIES = st.one_of(
    st.fixed_dictionaries(
        {
            "dtype": _DTYPES,
            "shape": st.lists(_SIZES, max_size=4),
            "data_offsets": st.lists(_SIZES, min_size=1, max_size=3),
        },
        optional={"code": st.none()},
    ),
    st.builds(
        lambda dtype, begin, count: {
            "dtype": dtype,
            "shape": [count],
            "data_offsets": [begin, begin + count * BYTES_OF_DTYPE.get(str(dtype), 1)],
        },
        _DTYPES,
        st.integers(0, 8),
        st.integers(0, 3),
    ),
    st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=3), st.lists, max_leaves=4),
)


@st.composite
def odd_headers(draw: st.DrawFn) -> bytes:
    """Headers of odd names, entries and sizes, names twice among them, often with as many bytes as they promise."""
    pairs = draw(st.lists(st.tuples(_NAMES, _ENTRIES), max_size=4))
    header = "{" + ", ".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in pairs) + "}"
    ends = [entry["data_offsets"][-1] for _, entry in pairs if isinstance(entry, dict)]
    promised = max((end for end in ends if type(end) is int and 0 <= end < 1000), default=0)
    return file(header.encode(), draw(_data(promised) | st.binary(max_size=40)))


rubbish = st.one_of(
    st.binary(max_size=64),
    st.builds(file, st.binary(max_size=40), st.binary(max_size=8)),
    st.builds(file, st.text().map(str.encode)),
)


def mutated(seed: int, count: int) -> Iterator[bytes]:
    """Good and hostile files with random damage, made quickly: hypothesis takes a hundred times as long for one."""
    random = Random(seed)
    seeds = [WEIGHTS] * 100 + [content for _, content, _ in hostile("entry", "size", "number") if len(content) < 1000]
    for _ in range(count):
        content = random.choice(seeds)
        for _ in range(random.randint(1, 3)):
            content = random.choice(_DAMAGES)(random, content)
        yield content


def _flip(random: Random, content: bytes) -> bytes:
    place = random.randrange(len(content) + 1)
    return content[:place] + bytes([random.randrange(256)]) + content[place + 1 :]


def _cut(random: Random, content: bytes) -> bytes:
    begin = random.randrange(len(content) + 1)
    return content[:begin] + content[begin + random.randrange(16) :]


def _double(random: Random, content: bytes) -> bytes:
    begin = random.randrange(len(content) + 1)
    return content[: begin + random.randrange(64)] + content[begin:]


def _renumber(random: Random, content: bytes) -> bytes:
    """Changes a number in the header and corrects the header's length."""
    places = list(re.finditer(rb"\d+", content[8:]))
    if not places:
        return content
    place = random.choice(places)
    number = random.choice([*_ODD_NUMBERS, *map(str, range(40))]).encode()
    text = content[8:]
    length = int.from_bytes(content[:8], "little") + len(number) - len(place.group())
    return (max(length, 0) % 2**64).to_bytes(8, "little") + text[: place.start()] + number + text[place.end() :]


_DAMAGES = (_flip, _cut, _double, _renumber)
