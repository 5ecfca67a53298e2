"""`Last-Event-ID` is text, as in every server-sent event: browsers send what the last `id:` line held."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient


def test_the_document_types_last_event_id_as_a_string(app: FastAPI) -> None:
    parameters = app.openapi()["paths"]["/v1/jobs/{job_id}/events"]["get"]["parameters"]
    (schema,) = [one["schema"] for one in parameters if one["name"] == "last-event-id"]

    assert {option["type"] for option in schema["anyOf"]} == {"string", "null"}


def test_an_empty_last_event_id_begins_at_the_first_event(
    http: TestClient, submit: Callable[..., str], runner: Any
) -> None:
    job_id = submit()
    runner.start()
    runner.note("one")
    runner.succeed()

    stream = http.get(f"/v1/jobs/{job_id}/events", headers={"Accept": "text/event-stream", "Last-Event-ID": ""})

    assert [line for line in stream.text.splitlines() if line.startswith("id:")] == ["id: 1"]
