"""A connection that got an error of the service is as good as any: the next request on it is answered."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import httpx
import pytest

from api.server import make_server
from api.settings import ApiSettings
from safs.client import Backoff, Client, ServiceError
from safs.client.connection import Connection
from tests.api.conftest import MINIMAL

REQUESTS = 40


@pytest.fixture
def broken_url(settings: ApiSettings) -> Iterator[str]:
    """The address of a server whose checks and catalog raise an error that nothing expects."""
    server = make_server(settings)

    def fail(*_: object, **__: object) -> Any:
        raise RuntimeError("nobody expects this")

    app: Any = server.config.app
    checker = app.state.services.checker
    checker.check = checker.catalog = fail
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def test_requests_after_an_unexpected_error_are_answered_on_the_same_connection(broken_url: str) -> None:
    limits = httpx.Limits(max_connections=1)
    with httpx.Client(base_url=broken_url, limits=limits) as client:
        for _ in range(REQUESTS):
            assert client.get("/v1/catalog").json()["code"] == "internal_error"
            assert client.post("/v1/jobs", json=MINIMAL).json()["code"] == "internal_error"
            assert client.get("/livez").status_code == 200


def test_an_unexpected_error_has_the_headers_of_every_response(broken_url: str) -> None:
    response = httpx.get(f"{broken_url}/v1/catalog", headers={"X-Request-ID": "mine"})

    assert response.status_code == 500
    assert response.headers["X-Request-ID"] == "mine"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "connection" not in response.headers


class Dropping:
    """A server that drops each connection after reading one request, ``drops`` times, and then answers 200 ``{}``."""

    def __init__(self, drops: int) -> None:
        self.drops = drops
        self.requests: list[bytes] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = Thread(target=self._serve)

    @contextmanager
    def serving(self) -> Iterator["Dropping"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                self.requests.append(connection.recv(65536))
                if len(self.requests) > self.drops:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")


def test_the_client_repeats_a_get_once_if_its_connection_is_reset() -> None:
    with Dropping(1).serving() as server, Client(server.url) as client:
        assert client.catalog() == {}
        assert len(server.requests) == 2


def test_the_client_gives_up_after_the_second_reset() -> None:
    with Dropping(9).serving() as server, Client(server.url) as client:
        with pytest.raises(ServiceError, match="no answer"):
            client.catalog()
        assert len(server.requests) == 2


def test_the_client_does_not_repeat_what_could_take_effect_twice() -> None:
    with Dropping(1).serving() as server:
        connection = Connection(server.url, None, Backoff(sleep=lambda _: None))
        with pytest.raises(ServiceError, match="no answer"):
            connection.request("POST", "/v1/jobs/job_1/cancel")
        connection.close()
        assert len(server.requests) == 1
