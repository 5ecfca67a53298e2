"""Events as pages and as a stream that can be taken up again."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from api.server import Server

STREAM = {"Accept": "text/event-stream"}
Submit = Callable[..., str]


@pytest.fixture
def api_database_url(database_url: str) -> str:
    return database_url


@pytest.fixture
def job(submit: Submit, runner: Any) -> str:
    """The address of the events of a running job with five events."""
    job_id = submit()
    runner.start()
    runner.note("one", "two", "three", "four", "five")
    return f"/v1/jobs/{job_id}/events"


def _parse(text: str) -> list[dict[str, str]]:
    """The blocks of a text/event-stream except comments."""
    blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]


def test_events_of_some_kinds_are_listed_alone_and_a_job_counts_all(http: TestClient, job: str, runner: Any) -> None:
    runner.tell_trial("tune", 0, 0.5)

    def kinds(*wanted: str) -> list[str]:
        return [event["kind"] for event in http.get(job, params={"kind": wanted}).json()["items"]]

    assert kinds("trial_done") == ["trial_done"]
    assert kinds("trial_done", "note") == ["note"] * 5 + ["trial_done"]
    assert kinds("unheard_of") == []
    assert http.get(job.removesuffix("/events")).json()["event_count"] == 6


def test_pages_follow_each_other_by_number(http: TestClient, job: str) -> None:
    first = http.get(job, params={"limit": 3}).json()
    second = http.get(job, params={"limit": 3, "after": first["next_after"]}).json()

    assert [event["number"] for event in first["items"] + second["items"]] == [1, 2, 3, 4, 5]
    assert (first["next_after"], second["next_after"]) == (3, None)
    assert first["items"][0]["kind"] == "note"
    assert first["items"][0]["data"] == {"message": "one", "level": "info"}


def test_the_stream_of_a_job_that_has_ended_has_every_event_and_ends(http: TestClient, job: str, runner: Any) -> None:
    runner.succeed()

    response = http.get(job, headers=STREAM)

    blocks = _parse(response.text)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert [block.get("id") for block in blocks] == ["1", "2", "3", "4", "5", None]
    assert [json.loads(block["data"]) for block in blocks[:5]] == http.get(job).json()["items"]
    assert blocks[-1] == {"event": "end", "data": "{}"}


def test_last_event_id_resumes_a_stream_after_that_event(http: TestClient, job: str, runner: Any) -> None:
    runner.succeed()

    response = http.get(job, headers=STREAM | {"Last-Event-ID": "3"})

    assert [block.get("id") for block in _parse(response.text)] == ["4", "5", None]


def test_a_stream_that_has_nothing_to_resume_tells_browsers_to_stay_away(
    http: TestClient, job: str, runner: Any
) -> None:
    runner.succeed()

    response = http.get(job, headers=STREAM | {"Last-Event-ID": "5"})

    assert (response.status_code, response.content) == (204, b"")


def test_a_job_cancelled_before_it_began_has_a_stream_that_ends(http: TestClient, submit: Submit) -> None:
    job_id = submit()
    http.post(f"/v1/jobs/{job_id}/cancel")

    assert _parse(http.get(f"/v1/jobs/{job_id}/events", headers=STREAM).text) == [{"event": "end", "data": "{}"}]


@pytest.mark.parametrize("last", ["x", "-1", "99999999999999"])
def test_a_last_event_id_that_is_no_number_is_refused(http: TestClient, job: str, last: str) -> None:
    response = http.get(job, headers=STREAM | {"Last-Event-ID": last})

    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


def test_a_live_stream_tells_events_as_they_happen_and_gives_signs_of_life_between_them(
    url: str, job: str, runner: Any
) -> None:
    seen = []
    with httpx.Client(base_url=url, timeout=30) as http, http.stream("GET", job, headers=STREAM) as response:
        for line in response.iter_lines():
            if line.startswith("id: "):
                seen.append(int(line.removeprefix("id: ")))
            elif line == ": keep-alive" and len(seen) == 5:
                runner.note("six")
            elif line == ": keep-alive" and len(seen) == 6:
                runner.note("seven")
                runner.succeed()

    assert seen == [1, 2, 3, 4, 5, 6, 7]


def test_idle_streams_hold_neither_threads_nor_sessions(serve: Callable[..., Any], job: str, runner: Any) -> None:
    listeners = 60  # more than the threads that answer requests, and than the connections to the database

    async def listen(http: httpx.AsyncClient, idle: asyncio.Barrier) -> list[int]:
        seen, waited = [], False
        async with http.stream("GET", job, headers=STREAM) as response:
            async for line in response.aiter_lines():
                if line.startswith("id: "):
                    seen.append(int(line.removeprefix("id: ")))
                if line == ": keep-alive" and not waited:
                    waited = True
                    await idle.wait()
        return seen

    async def run(address: str, server: Server) -> list[list[int]]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=address, timeout=60, limits=limits) as http:
            idle = asyncio.Barrier(listeners + 1)
            streams = [asyncio.create_task(listen(http, idle)) for _ in range(listeners)]
            await idle.wait()
            assert (await http.get("/v1/jobs")).status_code == 200
            runner.note("six")
            runner.succeed()
            return await asyncio.gather(*streams)

    with serve() as (address, server):
        assert asyncio.run(run(address, server)) == [[1, 2, 3, 4, 5, 6]] * listeners


def test_open_streams_do_not_keep_the_server_from_stopping(serve: Callable[..., Any], job: str) -> None:
    with serve() as (address, server), httpx.stream("GET", address + job, headers=STREAM, timeout=30) as response:
        lines = response.iter_lines()
        assert next(lines) == "id: 1"
        server.should_exit = True
        rest = list(lines)

    assert "event: end" not in rest
