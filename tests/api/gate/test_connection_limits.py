"""Limits of unauthenticated connections: headers are bounded in bytes and time; bodies and idle waits are not cut."""

import socket
from collections.abc import Callable
from http.client import parse_headers
from typing import Any

import httpx
import pytest
import torch
from safetensors.torch import save

from api import server
from api.gate.connection_limits import HEADERS_BYTES, BoundedHttpProtocol

GET = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n"
POST = b"POST /v1/uploads HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/octet-stream\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
FIRST_CHUNK = b"1\r\nx\r\n"
LARGE = save({"w": torch.zeros(200_000)})
ENOUGH = 64 * 1024 * 1024
"""Bytes, more than the buffers of a connection hold."""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the deadline for complete headers to half a second."""
    monkeypatch.setattr(BoundedHttpProtocol, "headers_s", 0.5)


@pytest.mark.parametrize(
    ("start", "endless"),
    [
        pytest.param(GET + b"X: ", b"a", id="value"),
        pytest.param(GET + b"X", b"a", id="name"),
        pytest.param(GET, b"a: b\r\n", id="lines"),
        pytest.param(b"GET /", b"a", id="path"),
        pytest.param(b"", b"\r\n", id="blank lines"),
        pytest.param(GET + b"\r\n" + GET + b"X: ", b"a", id="second request"),
        pytest.param(CHUNKED + FIRST_CHUNK + b"0\r\nX: ", b"a", id="trailer"),
        pytest.param(CHUNKED + FIRST_CHUNK + b"0\r\n", b"a: b\r\n", id="trailers"),
        pytest.param(GET + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"a", id="trailer after the answer"),
    ],
)
def test_headers_without_end_are_cut_soon(url: str, start: bytes, endless: bytes) -> None:
    piece = endless * (HEADERS_BYTES // len(endless))

    with _connected(url) as connection:
        sent = _send_until_cut(connection, start, piece)

    assert sent < ENOUGH
    assert httpx.get(f"{url}/livez", trust_env=False).status_code == 200


def test_headers_that_are_too_large_are_told_so(url: str) -> None:
    with _connected(url) as connection:
        connection.sendall((GET + b"X: ").ljust(HEADERS_BYTES, b"a"))
        answer = _everything(connection)

    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"\r\nConnection: close\r\n" in answer


def test_headers_that_are_complete_but_too_large_are_refused(url: str) -> None:
    with _connected(url) as connection:
        _send_until_cut(connection, (GET + b"X: ").ljust(1_000_000, b"a") + b"\r\n\r\n", b"")
        answer = _everything(connection)

    assert answer[:13] in (b"HTTP/1.1 431 ", b"")


def test_headers_as_large_as_allowed_are_answered_again_and_again(url: str) -> None:
    request = (GET + b"X: ").ljust(HEADERS_BYTES - 4, b"a") + b"\r\n\r\n"

    with _connected(url) as connection:
        for _ in range(3):
            connection.sendall(request)
            assert _status(connection) == 200


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("sent", [b"", b"GET /liv", GET, b"\r\n", GET + b"\r\n"])
def test_headers_that_do_not_end_in_time_are_cut(url: str, sent: bytes) -> None:
    with _connected(url) as connection:
        connection.sendall(sent)
        if sent.endswith(b"\r\n\r\n"):
            assert _status(connection) == 200
            connection.sendall(b"GET /again")
        assert _everything(connection) == b""


@pytest.mark.usefixtures("impatient")
def test_a_connection_that_is_idle_after_an_answer_is_left_open(url: str) -> None:
    with _connected(url) as connection:
        for _ in range(2):
            connection.sendall(GET + b"\r\n")
            assert _status(connection) == 200
            _wait_until_a_slow_one_is_cut(url)


@pytest.mark.usefixtures("impatient")
def test_bodies_are_neither_counted_nor_timed(url: str) -> None:
    size, half = len(LARGE), len(LARGE) // 2
    announced = POST + b"Content-Length: %d\r\n\r\n" % size

    with _connected(url) as whole, _connected(url) as chunked:
        whole.sendall(announced + LARGE[:half])
        chunked.sendall(CHUNKED + b"%x\r\n" % half + LARGE[:half] + b"\r\n%x\r\n" % (size - half))
        _wait_until_a_slow_one_is_cut(url)
        whole.sendall(LARGE[half:])
        chunked.sendall(LARGE[half:] + b"\r\n0\r\nX: a trailer\r\n\r\n")

        assert (_status(whole), _status(chunked)) == (201, 201)


@pytest.mark.parametrize("rest", [b"x", b"x" * 9], ids=["a byte", "all"])
def test_the_rest_of_a_body_that_was_answered_before_it_ended_does_not_keep_the_connection_for_ever(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, rest: bytes
) -> None:
    monkeypatch.setattr(server, "KEEP_ALIVE_S", 0.3)
    with serve() as (url, _), _connected(url) as connection:
        connection.sendall(GET + b"Content-Length: 9\r\n\r\n")
        assert _status(connection) == 200
        connection.sendall(rest)

        assert _everything(connection) == b""


def test_requests_that_are_sent_together_are_answered_in_order(url: str) -> None:
    upload = POST + b"Content-Length: %d\r\n\r\n" % len(LARGE) + LARGE

    with _connected(url) as connection:
        connection.sendall(GET + b"\r\n" + upload + GET.replace(b"livez", b"nowhere") + b"\r\n" + GET + b"\r\n")

        answers = [_status(connection) for _ in range(4)]

    assert answers == [200, 201, 404, 200]


def _connected(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def _send_until_cut(connection: socket.socket, start: bytes, piece: bytes) -> int:
    """Sends ``start``, then ``piece`` repeatedly; returns the number of bytes sent, at least ENOUGH if never cut."""
    sent = 0
    try:
        connection.sendall(start)
        while piece and sent < ENOUGH:
            connection.sendall(piece)
            sent += len(piece)
    except (BrokenPipeError, ConnectionResetError):
        pass
    return sent


def _everything(connection: socket.socket) -> bytes:
    """All bytes received until the other side closes."""
    received = b""
    try:
        while piece := connection.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def _status(connection: socket.socket) -> int:
    """The status of the next response; exactly this response is read."""
    with connection.makefile("rb", buffering=0) as answer:
        status = int(answer.readline().split()[1])
        missing = int(parse_headers(answer)["Content-Length"])
        while missing:
            missing -= len(answer.read(missing))
    return status


def _wait_until_a_slow_one_is_cut(url: str) -> None:
    with _connected(url) as slow:
        assert _everything(slow) == b""
