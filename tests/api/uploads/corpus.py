"""Hostile uploads, each with the words that its refusal must hold. All are made here; none is a file of somebody."""

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from struct import pack
from typing import Any, TypeAlias
from zipfile import ZipFile

import torch
from safetensors.torch import save

Hostile: TypeAlias = tuple[bytes, str]

WEIGHTS = save(
    {"conv.weight": torch.arange(24.0).reshape(2, 3, 4), "steps": torch.tensor(7), "empty": torch.zeros(0, 3)},
    metadata={"format": "pt"},
)
"""A file that is fine."""


def file(header: Mapping[str, Any] | bytes, data: bytes = b"") -> bytes:
    """A safetensors file with this header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(begin: Any, end: Any, *, dtype: Any = "U8", shape: Any = None) -> dict[str, Any]:
    """A tensor's entry; by default of bytes."""
    return {"dtype": dtype, "shape": [end - begin] if shape is None else shape, "data_offsets": [begin, end]}


def one(data: bytes, *, dtype: str = "U8", shape: Any = None, name: str = "w", **more: Any) -> bytes:
    """A file of one tensor."""
    return file({name: entry(0, len(data), dtype=dtype, shape=shape) | more}, data)


def _zip_of_torch_save() -> bytes:
    archive = BytesIO()
    with ZipFile(archive, "w") as opened:
        opened.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
    return archive.getvalue()


def _no_files() -> dict[str, Hostile]:
    return {
        "nothing": (b"", "truncated"),
        "a few bytes": (b"abc", "truncated"),
        "a pickle": (b"\x80\x02}q\x00X\x03\x00\x00\x00abcq\x01K\x01s." * 9, "written by torch.save"),
        "a zip of torch.save": (_zip_of_torch_save(), "written by torch.save"),
        "a picture": (b"\x89PNG\r\n\x1a\n" + b"\0" * 90, "the limit is"),
        "a gzip of a good file": (gzip.compress(WEIGHTS), "is not a tar archive"),
        "a page": (b"<!doctype html><script>alert(1)</script>", "the limit is"),
        "zeros": (b"\0" * 4096, "not JSON"),
        "ones": (b"\xff" * 4096, "the limit is"),
        "a good file twice": (WEIGHTS * 2, "more bytes"),
        "truncated in its first bytes": (WEIGHTS[:7], "truncated"),
        "truncated in its header": (WEIGHTS[:40], "truncated"),
        "truncated before its tensors": (WEIGHTS[: 8 + int.from_bytes(WEIGHTS[:8], "little")], "declares"),
        "truncated in its tensors": (WEIGHTS[:-1], "declares"),
        "one byte too many": (WEIGHTS + b"\0", "more bytes"),
        "a good file with a program behind it": (WEIGHTS + b"#!/bin/sh\nrm -rf /\n" * 9, "more bytes"),
    }


def _headers() -> dict[str, Hostile]:
    return {
        "too long by one byte": ((8 * 2**20 + 1).to_bytes(8, "little") + b"{}", "the limit is"),
        "as long as numbers go": ((2**64 - 1).to_bytes(8, "little") + b"{}", "the limit is"),
        "of no length": (b"\0" * 8, "not JSON"),
        "no JSON": (file(b"{'a': 1}"), "not JSON"),
        "two objects": (file(b"{}{}"), "not JSON"),
        "bad UTF-8": (file(b'{"\xff\xfe": {}}'), "not JSON"),
        "UTF-8 that is longer than it need be": (file(b'{"\xc0\xaf": {}}'), "not JSON"),
        "UTF-16": (file('{"w": {}}'.encode("utf-16")), "not JSON"),
        "a byte-order mark": (file(b"\xef\xbb\xbf{}"), "not JSON"),
        "a list": (file(b"[]"), "not a JSON object"),
        "a number": (file(b"7"), "not a JSON object"),
        "a text": (file(b'"w"'), "not a JSON object"),
        "null": (file(b"null"), "not a JSON object"),
        "brackets that are too deep": (file(b"[" * 50_000), "not JSON"),
        "brackets that are too deep in an entry": (file(b'{"w":' * 50_000 + b"1" + b"}" * 50_000), "not JSON"),
        "many empty lists": (file(b'{"w":[' + b"[]," * 2_600_000 + b"[]]}"), "of memory"),
        "NaN": (file(b'{"w": NaN}'), "NaN"),
        "Infinity": (file(b'{"w": -Infinity}'), "-Infinity"),
        "a number of a million digits": (file(b'{"w": ' + b"9" * 1_000_000 + b"}"), "only sizes are allowed"),
        "a float beyond all floats": (file(b'{"w": 1e999999}'), "only sizes are allowed"),
        "spaces before it": (file(b' {"w": ' + json.dumps(entry(0, 1)).encode() + b"}", b"x"), "begin with"),
        "padding by new lines": (file(b'{"w": ' + json.dumps(entry(0, 1)).encode() + b"}\n", b"x"), "spaces"),
        "padding by zeros": (file(b"{}\0\0"), "not JSON"),
        "comments": (file(b'{/* w */"w": {}}'), "not JSON"),
        "no tensor": (file({"__metadata__": {"a": "b"}}), "has no tensors"),
        "nothing at all": (file({}), "has no tensors"),
        "metadata of another type": (file({"__metadata__": {"a": 1}, "w": entry(0, 1)}, b"x"), "__metadata__"),
        "metadata that is a list": (file({"__metadata__": ["a"], "w": entry(0, 1)}, b"x"), "__metadata__"),
        "metadata that is null": (file({"__metadata__": None, "w": entry(0, 1)}, b"x"), "__metadata__"),
        "metadata in metadata": (file({"__metadata__": {"a": {"b": "c"}}, "w": entry(0, 1)}, b"x"), "__metadata__"),
        "half a character in metadata": (file({"__metadata__": {"a": "\ud800"}, "w": entry(0, 1)}, b"x"), "surrogate"),
        "metadata twice": (file(b'{"__metadata__": {}, "__metadata__": {}}'), "key '__metadata__' twice"),
        "100,000 entries": (file({str(number): entry(0, 0) for number in range(100_000)}), "the limit is 20000"),
        "one entry too many": (file({str(number): entry(0, 0) for number in range(20_001)}), "the limit is 20000"),
    }


def _names() -> dict[str, Hostile]:
    return {
        "twice": (file(b'{"w": {}, "w": {}}'), "'w' twice"),
        "twice, once in escapes": (file(b'{"w": {}, "\\u0077": {}}'), "'w' twice"),
        "empty": (one(b"x", name=""), "printable"),
        "with NUL": (one(b"x", name="w\0.weight"), "printable"),
        "with a new line": (one(b"x", name="w\nINFO all is well"), "printable"),
        "with an escape sequence": (one(b"x", name="\x1b[2J"), "printable"),
        "with text that runs backwards": (one(b"x", name="w\u202etxt.exe"), "printable"),
        "half a character": (one(b"x", name="\ud800"), "printable"),
        "too long": (one(b"x", name="w" * 301), "301 characters"),
        "a megabyte long": (one(b"x", name="w" * 2**20), "1048576 characters"),
    }


def _entries() -> dict[str, Hostile]:
    known = entry(0, 1)
    return {
        "that is no object": (file({"w": 3}), "exactly"),
        "without a shape": (file({"w": {"dtype": "U8", "data_offsets": [0, 1]}}, b"x"), "exactly"),
        "with more keys": (one(b"x", code="import os"), "exactly"),
        "with a key twice": (
            file(b'{"w": {"dtype": "U8", "dtype": "F32", "shape": [1], "data_offsets": [0, 1]}}', b"x"),
            "'dtype' twice",
        ),
        "with one offset": (file({"w": known | {"data_offsets": [0]}}, b"x"), "exactly"),
        "with three offsets": (file({"w": known | {"data_offsets": [0, 1, 1]}}, b"x"), "exactly"),
        "with a dtype that is a list": (file({"w": known | {"dtype": ["U8"]}}, b"x"), "exactly"),
        "with a shape that is a number": (file({"w": known | {"shape": 1}}, b"x"), "exactly"),
        "of an unknown dtype": (one(b"x", dtype="PICKLE"), "'PICKLE'"),
        "of a dtype in small letters": (one(b"1234", dtype="f32", shape=[1]), "allowed: BOOL"),
        "of 8-bit floats": (one(b"x", dtype="F8_E4M3"), "allowed: BOOL, U8, I8"),
        "of complex numbers": (one(b"\0" * 8, dtype="C64", shape=[1]), "allowed: BOOL, U8, I8"),
        "of unsigned numbers": (one(b"\0" * 8, dtype="U64", shape=[1]), "allowed: BOOL, U8, I8"),
    }


def _sizes() -> dict[str, Hostile]:
    return {
        "negative sizes": (one(b"1234", shape=[-1, -4]), "only sizes are allowed"),
        "minus zero": (file(b'{"w":{"dtype":"U8","shape":[-0],"data_offsets":[0,0]}}'), "only sizes are allowed"),
        "a size that is true": (one(b"1", shape=[True]), "not sizes"),
        "a size that is a fraction": (one(b"1", shape=[1.0]), "only sizes are allowed"),
        "a size that is a text": (one(b"1", shape=["1"]), "not sizes"),
        "a size that is null": (one(b"1", shape=[None]), "not sizes"),
        "a size of 2**63": (file({"w": entry(0, 1, shape=[2**63])}, b"x"), "only sizes are allowed"),
        "a size of 2**64 + 1": (file({"w": entry(0, 1, shape=[2**64 + 1])}, b"x"), "only sizes are allowed"),
        "sizes whose product is 0 in 64 bits": (file({"w": entry(0, 0, shape=[2**32, 2**32])}), "overflows"),
        # 274177 * 67280421310721 = 2**64 + 1.
        "sizes whose product is 1 in 64 bits": (
            file({"w": entry(0, 1, shape=[274177, 67280421310721])}, b"x"),
            "overflows",
        ),
        "an empty tensor that is too wide": (file({"w": entry(0, 0, shape=[0, 2**62, 2**62])}), "overflows"),
        "33 dimensions": (one(b"x", shape=[1] * 33), "32 dimensions"),
        "a million dimensions": (one(b"x", shape=[1] * 1_000_000), "32 dimensions"),
        "bytes that do not fit the shape": (one(b"1234", shape=[5]), "cannot have 4 bytes"),
        "half a number": (one(b"123456", dtype="F32", shape=[1]), "cannot have 6 bytes"),
        "offsets that go backwards": (file({"w": entry(4, 0, shape=[0])}, b"1234"), "cannot have -4 bytes"),
        "offsets that are true": (file({"w": entry(False, True, shape=[1])}, b"1"), "not sizes"),
        "offsets that are fractions": (file({"w": entry(0.0, 1.0, shape=[1])}, b"1"), "only sizes are allowed"),
        "an offset of 2**63": (file({"w": entry(0, 2**63, shape=[2**63 - 1])}, b"1"), "only sizes are allowed"),
        "offsets that overflow when the header is added": (
            file({"w": entry(2**63 - 2, 2**63 - 1, shape=[1])}, b"1"),
            "gap",
        ),
        "tensors that overlap": (file({"v": entry(0, 3), "w": entry(2, 4)}, b"1234"), "overlaps"),
        "two tensors on the same bytes": (file({"v": entry(0, 4), "w": entry(0, 4)}, b"1234"), "overlaps"),
        "a tensor in another": (file({"v": entry(0, 4), "w": entry(1, 2)}, b"1234"), "overlaps"),
        "a gap": (file({"v": entry(0, 1), "w": entry(2, 4)}, b"1234"), "gap"),
        "a gap at the start": (file({"w": entry(1, 4)}, b"1234"), "gap"),
        "a gap before an empty tensor": (file({"v": entry(0, 4), "w": entry(9, 9)}, b"1234"), "gap"),
        "bytes that no tensor has": (file({"w": entry(0, 3)}, b"1234"), "more bytes"),
    }


def _numbers() -> dict[str, Hostile]:
    nan, inf = float("nan"), float("inf")
    forms = {"F16": "<e", "F32": "<f", "F64": "<d"}
    cases = {
        f"{what} as {dtype}": (one(pack(form, value), dtype=dtype, shape=[]), "'w' holds a number that is not finite")
        for dtype, form in forms.items()
        for what, value in {"NaN": nan, "infinity": inf, "minus infinity": -inf}.items()
    }
    for what, bits in {
        "NaN": 0x7FC0,
        "a NaN that signals": 0xFF81,
        "infinity": 0x7F80,
        "minus infinity": 0xFF80,
    }.items():
        cases[f"{what} as BF16"] = (one(pack("<H", bits), dtype="BF16", shape=[]), "not finite")
    cases["a NaN that signals as F32"] = (one(pack("<I", 0x7F800001), dtype="F32", shape=[]), "not finite")
    cases["one NaN at the end of many numbers"] = (
        save({"fine": torch.ones(9), "conv.weight": torch.cat([torch.ones(40_000), torch.tensor([nan])])}),
        "'conv.weight' holds",
    )
    cases["a NaN at an odd place"] = (
        file({"a": entry(0, 1), "b": entry(1, 9, dtype="F32", shape=[2])}, b"x" + pack("<ff", 1.0, nan)),
        "'b' holds",
    )
    return cases


_GROUPS: Mapping[str, Callable[[], dict[str, Hostile]]] = {
    "file": _no_files,
    "header": _headers,
    "name": _names,
    "entry": _entries,
    "size": _sizes,
    "number": _numbers,
}


def hostile(*groups: str) -> Iterator[tuple[str, bytes, str]]:
    """Name, content and words of the expected reason of each file in ``groups``, or in all groups if none is named."""
    for group in groups or _GROUPS:
        for name, (content, words) in _GROUPS[group]().items():
            yield f"{group}: {name}", content, words
