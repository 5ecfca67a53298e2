"""One line of the log for every request, and what must not be in it; the trace of the request that submits a job."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from store import jobs
from tests.api.conftest import MINIMAL
from tests.telemetry.conftest import spans

__all__ = ["spans"]

CALLERS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What was logged of requests."""
    with caplog.at_level(logging.DEBUG, logger="api.observation"):
        yield lambda: [vars(record) for record in caplog.records if record.name == "api.observation"]


def test_a_request_is_one_line_with_route_status_and_time(
    http: TestClient, told: Callable[[], list[dict[str, Any]]], submit: Callable[..., str]
) -> None:
    job_id = submit()
    http.get(f"/v1/jobs/{job_id}", headers={"X-Request-ID": "mine"})

    _, line = told()
    assert (line["method"], line["route"], line["status"], line["job"]) == ("GET", "/v1/jobs/{job_id}", 200, job_id)
    assert 0 < line["ms"] < 60_000
    assert "owner" not in line


def test_neither_query_nor_headers_nor_unknown_paths_are_logged(
    http: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="api"):
        http.get("/v1/jobs?page_token=hunter2", headers={"Authorization": "Bearer safs_hunter2"})
        http.get("/hunter2")

    logged = [str(vars(record)) for record in caplog.records if record.name.startswith("api")]
    assert len(logged) >= 2
    assert not [line for line in logged if "hunter2" in line]


def test_what_machines_ask_all_the_time_is_logged_for_debugging_only(
    http: TestClient, told: Callable[[], list[dict[str, Any]]]
) -> None:
    for path in ("/livez", "/readyz", "/metrics"):
        http.get(path)

    assert [line["levelname"] for line in told()] == ["DEBUG"] * 3


def stored_trace(app: Any, job_id: str) -> str | None:
    with app.state.services.database.read() as tx:
        return jobs.get(tx, job_id).traceparent


def test_without_the_sdk_the_callers_trace_is_stored_with_the_job_and_told_to_nobody(
    app: Any, http: TestClient
) -> None:
    response = http.post("/v1/jobs", json=MINIMAL, headers={"traceparent": CALLERS})

    job_id = response.json()["id"]
    assert stored_trace(app, job_id) == CALLERS
    assert CALLERS[3:35] not in response.text + http.get(f"/v1/jobs/{job_id}").text + str(response.headers)


@pytest.mark.parametrize("header", ["nonsense", "00-" + 32 * "0" + "-b7ad6b7169203331-01", "x" * 5000])
def test_what_is_no_trace_context_is_not_stored(app: Any, http: TestClient, header: str) -> None:
    response = http.post("/v1/jobs", json=MINIMAL, headers={"traceparent": header})

    assert stored_trace(app, response.json()["id"]) is None


def test_with_the_sdk_the_job_belongs_to_the_span_of_its_request(
    app: Any, http: TestClient, spans: InMemorySpanExporter
) -> None:
    response = http.post("/v1/jobs", json=MINIMAL, headers={"traceparent": CALLERS})

    (span,) = spans.get_finished_spans()
    assert span.name == "POST /v1/jobs"
    assert stored_trace(app, response.json()["id"]) == f"{CALLERS[:36]}{span.context.span_id:016x}-01"
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == CALLERS[36:52]
