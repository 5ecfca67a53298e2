"""Uploads: what is well-formed is kept, what is not leaves nothing behind."""

import json
import socket
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from api.errors import UploadError
from api.safetensors_stream import SafetensorsStream
from api.settings import ApiSettings

OCTETS = {"Content-Type": "application/octet-stream"}
WEIGHTS = save(
    {"conv.weight": torch.arange(24.0).reshape(2, 3, 4), "steps": torch.tensor(7), "empty": torch.zeros(0, 3)},
    metadata={"format": "pt"},
)


def _file(header: dict[str, Any] | bytes, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def _entry(begin: int, end: int, *, dtype: str = "U8", shape: list[Any] | None = None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [end - begin] if shape is None else shape, "data_offsets": [begin, end]}


MALFORMED = {
    "nothing": (b"", "truncated"),
    "a few bytes": (b"abc", "truncated"),
    "a pickle": (b"\x80\x02}q\x00X\x03\x00\x00\x00abcq\x01K\x01s." * 9, "header of"),
    "a zip of torch.save": (b"PK\x03\x04" + b"\x00" * 60, "allowed"),
    "truncated in its header": (WEIGHTS[:40], "truncated"),
    "truncated in its tensors": (WEIGHTS[:-1], "promises"),
    "one byte too many": (WEIGHTS + b"\x00", "more bytes"),
    "a header that is too long": ((2**40).to_bytes(8, "little") + b"{}", "allowed"),
    "a header that is no JSON": (_file(b"{'a': 1}"), "not JSON"),
    "a header that is no text": (_file(b"\xff\xfe{}"), "not JSON"),
    "a header that is a list": (_file(b"[]"), "not a JSON object"),
    "a header that is too deep": (_file(b"[" * 50_000), "not JSON"),
    "not a number": (_file(b'{"a": NaN}'), "NaN"),
    "no tensor": (_file({"__metadata__": {"a": "b"}}), "no tensor"),
    "metadata of another type": (_file({"__metadata__": {"a": 1}, "w": _entry(0, 1)}, b"x"), "__metadata__"),
    "a name twice": (_file(b'{"w": {}, "w": {}}'), "'w' twice"),
    "an unknown dtype": (_file({"w": _entry(0, 1, dtype="PICKLE")}, b"x"), "'PICKLE'"),
    "an entry with more keys": (_file({"w": _entry(0, 1) | {"code": "x"}}, b"x"), "exactly"),
    "an entry that is no object": (_file({"w": 3}), "exactly"),
    "a negative size": (_file({"w": _entry(0, 4, shape=[-1, -4])}, b"1234"), "no sizes"),
    "a size that is true": (_file({"w": _entry(0, 1, shape=[True])}, b"1"), "no sizes"),
    "a size that is a fraction": (_file({"w": _entry(0, 1, shape=[1.0])}, b"1"), "no sizes"),
    "bytes that do not fit the shape": (_file({"w": _entry(0, 4, shape=[5])}, b"1234"), "cannot have 4 bytes"),
    "tensors that overlap": (_file({"v": _entry(0, 3), "w": _entry(2, 4)}, b"1234"), "overlaps"),
    "a gap": (_file({"v": _entry(0, 1), "w": _entry(2, 4)}, b"1234"), "gap"),
    "offsets that go backwards": (_file({"w": _entry(4, 0, shape=[0])}, b"1234"), "cannot have -4 bytes"),
}


def test_safetensors_are_kept_and_named_by_an_id(http: TestClient, settings: ApiSettings) -> None:
    response = http.post("/v1/uploads?filename=dense.safetensors", content=WEIGHTS, headers=OCTETS)

    upload = response.json()
    assert response.status_code == 201
    assert (upload["filename"], upload["tensors"], upload["size_bytes"]) == ("dense.safetensors", 3, len(WEIGHTS))
    assert upload["sha256"] == sha256(WEIGHTS).hexdigest()
    assert http.get(f"/v1/uploads/{upload['id']}").json() == upload
    assert [path.read_bytes() for path in _files(settings)] == [WEIGHTS]


@pytest.mark.parametrize(("content", "words"), MALFORMED.values(), ids=MALFORMED)
def test_a_file_that_is_not_well_formed_is_refused_and_leaves_nothing(
    http: TestClient, settings: ApiSettings, content: bytes, words: str
) -> None:
    response = http.post("/v1/uploads", content=content, headers=OCTETS)

    assert (response.status_code, response.json()["code"]) == (422, "invalid_upload")
    assert words in response.json()["detail"]
    assert _files(settings) == []


@pytest.mark.parametrize("announced", [True, False])
def test_an_upload_above_the_limit_is_refused_and_leaves_nothing(
    http: TestClient, settings: ApiSettings, announced: bool
) -> None:
    content = save({"w": torch.zeros(300_000)})
    body = content if announced else (content[start : start + 4096] for start in range(0, len(content), 4096))

    response = http.post("/v1/uploads", content=body, headers=OCTETS)

    assert (response.status_code, response.json()["code"]) == (413, "upload_too_large")
    assert "1000000" in response.json()["detail"]
    assert _files(settings) == []


@pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=x", "application/json", ""])
def test_only_raw_bytes_are_taken(http: TestClient, content_type: str) -> None:
    response = http.post("/v1/uploads", content=WEIGHTS, headers={"Content-Type": content_type})

    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")
    assert "application/octet-stream" in response.json()["detail"]


def test_a_connection_that_ends_early_leaves_nothing(url: str, settings: ApiSettings) -> None:
    host, port = url.removeprefix("http://").split(":")
    head = f"POST /v1/uploads HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/octet-stream\r\n"

    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(f"{head}Content-Length: {len(WEIGHTS)}\r\n\r\n".encode() + WEIGHTS[:-9])
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass

    assert _files(settings) == []


class _Pieces:
    """A stream that hands out what it has in pieces of the given sizes."""

    def __init__(self, content: bytes, sizes: Iterator[int]) -> None:
        self.rest = content
        self.sizes = sizes

    def read(self, size: int, /) -> bytes:
        size = min(size, next(self.sizes))
        piece, self.rest = self.rest[:size], self.rest[size:]
        return piece


@given(sizes=st.lists(st.integers(1, 200), min_size=1))
def test_how_the_bytes_arrive_makes_no_difference(sizes: list[int]) -> None:
    stream = SafetensorsStream(_Pieces(WEIGHTS, iter(sizes * len(WEIGHTS))), limit_bytes=1000)

    passed = b"".join(iter(lambda: stream.read(1000), b""))

    assert passed == WEIGHTS
    assert stream.tensors == 3


@given(position=st.integers(0, len(WEIGHTS) - 1), byte=st.integers(0, 255))
@hypothesis_settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_what_passes_is_readable_by_the_safetensors_library(position: int, byte: int) -> None:
    damaged = WEIGHTS[:position] + bytes([byte]) + WEIGHTS[position + 1 :]
    stream = SafetensorsStream(_Pieces(damaged, iter([1000] * 3)), limit_bytes=1000)

    try:
        passed = b"".join(iter(lambda: stream.read(1000), b""))
    except UploadError:
        return

    load(passed)


def _files(settings: ApiSettings) -> list[Path]:
    return [path for path in settings.artifacts_folder.rglob("*") if path.is_file()]
