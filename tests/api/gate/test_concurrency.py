"""One owner cannot block the slow requests of another."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPResponse
from typing import Any

import httpx
import pytest

from api.errors import BusyError
from api.gate.concurrency import ConcurrencyLimit
from api.settings import ApiSettings
from api.uploads import request_body
from tests.api.conftest import MINIMAL, MakeKey, running
from tests.api.uploads.test_uploads import OCTETS, WEIGHTS
from tests.waiting import wait_until


def test_an_owner_who_wants_much_stands_in_line_once() -> None:
    served: list[str] = []

    async def want(limit: ConcurrencyLimit, owner: str) -> None:
        async with limit.slot(owner):
            served.append(owner)
            await asyncio.sleep(0.001)

    async def crowd() -> None:
        limit = ConcurrencyLimit("things", 1, per_owner=1)
        await asyncio.gather(*(want(limit, owner) for owner in "aaaaaabc"))

    asyncio.run(crowd())
    assert "".join(sorted(served)) == "aaaaaabc"
    assert set(served[1:3]) == {"b", "c"}


def test_who_waits_long_is_told_to_come_again_and_leaves_the_line() -> None:
    async def crowd() -> None:
        limit = ConcurrencyLimit("things", 2, per_owner=1, max_wait_s=0.01)
        async with limit.slot("a"):
            with pytest.raises(BusyError, match="no slot for things came free"):
                async with limit.slot("a"):
                    pass
            async with limit.slot("b"):
                with pytest.raises(BusyError):
                    async with limit.slot("c"):
                        pass
        async with limit.slot("a"), limit.slot("c"):
            pass

    asyncio.run(crowd())


@pytest.fixture
def server(settings: ApiSettings) -> Iterator[tuple[str, Any]]:
    """A real one, which is impatient."""
    with running(settings) as (url, server):
        services = server.config.app.state.services
        object.__setattr__(services, "uploads", ConcurrencyLimit("uploads", 8, per_owner=2, max_wait_s=0.5))
        yield url, services


def begin_upload(url: str, key: dict[str, str]) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    head = f"POST /v1/uploads HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/octet-stream\r\n"
    head += f"Authorization: {key['Authorization']}\r\nContent-Length: {len(WEIGHTS)}\r\n\r\n"
    connection = socket.create_connection((host, int(port)), timeout=30)
    connection.sendall(head.encode() + WEIGHTS[:-9])
    return connection


def test_an_owner_that_uploads_without_end_leaves_places_for_others(server: tuple[str, Any], make_key: MakeKey) -> None:
    url, services = server
    alice, bob = make_key("alice", "submit"), make_key("bob", "submit")
    with ExitStack() as connections:
        for _ in range(12):
            connections.enter_context(begin_upload(url, alice))
        wait_until(lambda: services.upload_threads.borrowed_tokens == 2)
        posted = [
            httpx.post(f"{url}/v1/uploads", content=WEIGHTS, headers=OCTETS | key, trust_env=False, timeout=60)
            for key in (bob, alice)
        ]

    assert [answer.status_code for answer in posted] == [201, 503]
    assert (posted[1].json()["code"], posted[1].headers["retry-after"]) == ("busy", "5")


def test_an_upload_that_only_just_moves_is_given_up(
    server: tuple[str, Any], make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_body, "MAX_PAUSE_S", 1.0)
    url, _ = server
    stop = threading.Event()
    with begin_upload(url, make_key("alice", "submit")) as connection:

        def trickle() -> None:
            for byte in WEIGHTS[-9:-1]:
                if stop.wait(0.4):
                    return
                with suppress(OSError):  # It has been given up already.
                    connection.sendall(bytes([byte]))

        sender = threading.Thread(target=trickle)
        sender.start()
        answer = HTTPResponse(connection)
        answer.begin()
        stop.set()
        sender.join()
        problem = json.load(answer)

    assert (answer.status, problem["code"]) == (422, "invalid_upload")
    assert "fewer than 10,000 bytes per second" in problem["detail"]


def test_estimates_whose_callers_have_gone_are_not_made(
    settings: ApiSettings, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    going = threading.Event()

    def estimate(*_: Any) -> Any:
        made.append(1)
        going.wait(30)
        raise RuntimeError("no matter")

    alice = make_key("alice", "submit")

    def ask(timeout_s: float) -> None:
        with suppress(httpx.ReadTimeout):
            check = f"{url}/v1/jobs?validate_only=true"
            httpx.post(check, json=MINIMAL, headers=alice, trust_env=False, timeout=timeout_s)

    with running(settings) as (url, server):
        monkeypatch.setattr(server.config.app.state.services.checker, "estimate", estimate)
        first = threading.Thread(target=ask, args=(60,))
        first.start()
        wait_until(lambda: made)
        for _ in range(3):
            ask(timeout_s=0.2)
        going.set()
        ask(timeout_s=60)
        first.join()

    assert len(made) == 2  # the first, and that of the client who came last and stayed
