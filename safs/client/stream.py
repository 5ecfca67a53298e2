"""A job's events as they happen, over connections that may drop."""

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
"""How much too long a connection's time-out may be for what is left of the time to wait."""


def follow(connection: Connection, job_id: str, *, after: int, timeout_s: float | None) -> Iterator[Event]:
    """The events after number ``after`` as they happen, each once and in order, until the job has ended.

    A connection that drops is taken up again where it broke.

    Raises:
        TimeoutError: ``timeout_s`` has passed.
        ServiceError: the service refuses, or could not be reached in ``Backoff.attempts`` attempts.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    failures = 0
    while True:
        lost: ServiceError | None = None
        try:
            for event in _listen(connection, job_id, after, deadline):
                failures = 0
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
        failures += 1
        if failures > connection.backoff.attempts:
            raise lost or ServiceError("unreachable", f"the events of job {job_id} stop again and again")
        asked_s = lost.retry_after_s if lost else None
        connection.backoff.pause(failures, at_least_s=asked_s, at_most_s=_left_s(deadline))


def _listen(connection: Connection, job_id: str, after: int, deadline: float | None) -> Iterator[Event | None]:
    """The events of one connection, with None for each sign of life that is none."""
    silence_s = SILENCE_S if deadline is None else min(SILENCE_S, max(0.01, deadline - time.monotonic()))
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
    timeout = httpx.Timeout(SILENCE_S, read=silence_s)
    with connection.stream(f"/v1/jobs/{job_id}/events", headers=headers, timeout=timeout) as response:
        if response.status_code == httpx.codes.NO_CONTENT:  # the job has ended, and there is nothing after ``after``
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
                return  # come again with a shorter time-out, so that the deadline is kept


def _parse(block: list[str]) -> Event | None:
    """One block of a text/event-stream; None where it is a comment."""
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
