"""A job's events as they happen, over connections that may break."""

import json
import time
from collections.abc import Iterator
from typing import TypeAlias

import httpx

from safs.client.connection import SILENCE_S, Connection, Json
from safs.client.errors import ServiceError

Event: TypeAlias = Json
"""``number``, ``kind``, ``at`` and ``data``."""

END: Event = {"kind": "end"}
RENEW_S = 5.0
"""Seconds by which a connection's timeout may exceed the time that is left."""
POLL_S = 5.0
"""Seconds between two polls, if no stream comes through."""
FINAL_STATES = ("succeeded", "failed", "cancelled")


def follow(connection: Connection, job_id: str, *, after: int, timeout_s: float | None) -> Iterator[Event]:
    """The events after number ``after`` as they happen, each once and in order, until the job has ended.

    A broken connection continues where it broke. If a stream stays silent, as behind a proxy that holds back responses
    until they are complete, the events are polled instead.

    Raises:
        TimeoutError: ``timeout_s`` has passed.
        ServiceError: the service refuses, or could not be reached in ``Backoff.attempts`` attempts.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    failures = 0
    while True:
        lost: ServiceError | None = None
        is_silent = True
        try:
            for event in _listen(connection, job_id, after, deadline):
                failures, is_silent = 0, False
                if event is END:
                    return
                if event is not None:
                    after = event["number"]
                    yield event
                _check(deadline, job_id)
        except ServiceError as error:
            if not error.may_pass:
                raise
            lost = error
        _check(deadline, job_id)
        if is_silent and lost is not None and _is_held_back(lost):
            yield from _poll(connection, job_id, after, deadline)
            return
        failures += 1
        if failures > connection.backoff.attempts:
            raise lost or ServiceError("unreachable", f"the stream of events of job {job_id} ends again and again")
        asked_s = lost.retry_after_s if lost else None
        connection.backoff.pause(failures, at_least_s=asked_s, at_most_s=_left_s(deadline))


def _is_held_back(lost: ServiceError) -> bool:
    """True if nothing came in time: from the service, or, as a proxy says, to the proxy."""
    return isinstance(lost.__cause__, httpx.ReadTimeout) or lost.status == httpx.codes.GATEWAY_TIMEOUT


def _poll(connection: Connection, job_id: str, after: int, deadline: float | None) -> Iterator[Event]:
    """The events after number ``after``, by one request every ``POLL_S`` until the job has ended."""
    while True:
        # The state before the events: an event that comes after it is read in the next round.
        has_ended = connection.retry_get(f"/v1/jobs/{job_id}")["state"] in FINAL_STATES
        following: int | None = after
        while following is not None:
            page = connection.retry_get(f"/v1/jobs/{job_id}/events", {"after": str(following)})
            for event in page["items"]:
                after = event["number"]
                yield event
            following = page["next_after"]
        if has_ended:
            return
        _check(deadline, job_id)
        left_s = _left_s(deadline)
        connection.backoff.sleep(POLL_S if left_s is None else max(0.0, min(POLL_S, left_s)))


def _listen(connection: Connection, job_id: str, after: int, deadline: float | None) -> Iterator[Event | None]:
    """The events of one connection, and None for each keep-alive."""
    silence_s = SILENCE_S if deadline is None else min(SILENCE_S, max(0.01, deadline - time.monotonic()))
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
    timeout = httpx.Timeout(SILENCE_S, read=silence_s)
    with connection.stream(f"/v1/jobs/{job_id}/events", headers=headers, timeout=timeout) as response:
        if response.status_code == httpx.codes.NO_CONTENT:  # the job has ended and has no later events
            yield END
        block: list[str] = []
        for line in response.iter_lines():
            if line:
                block.append(line)
                continue
            yield _parse(block)
            block = []
            left_s = _left_s(deadline)
            if left_s is not None and left_s < silence_s - RENEW_S:
                return  # reconnect with a shorter timeout, to keep the deadline


def _parse(block: list[str]) -> Event | None:
    """The event of one block of a text/event-stream; None for a comment."""
    fields = dict(line.split(": ", 1) for line in block if ": " in line and not line.startswith(":"))
    if fields.get("event") == "end":
        return END
    if "data" not in fields:
        return None
    event: Event = json.loads(fields["data"])
    return event


def _left_s(deadline: float | None) -> float | None:
    return None if deadline is None else deadline - time.monotonic()


def _check(deadline: float | None, job_id: str) -> None:
    if deadline is not None and time.monotonic() >= deadline:
        raise TimeoutError(f"job {job_id} has not ended in time; it goes on, and can be waited for again")
