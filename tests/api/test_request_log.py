"""One line of the log for every request, and what must not be in it; the trace of the request that submits a job."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from api.app import create_app
from api.settings import ApiSettings
from store import api_keys, jobs
from store.api_keys import KeyLimits
from store.session import Database
from tests.api.conftest import MINIMAL, MakeKey, from_this_machine
from tests.telemetry.conftest import spans

__all__ = ["spans"]

CALLERS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The log records of requests."""
    with caplog.at_level(logging.DEBUG, logger="api.request_log"):
        yield lambda: [vars(record) for record in caplog.records if record.name == "api.request_log"]


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


def prefix(headers: dict[str, str]) -> str:
    return headers["Authorization"].split("_")[1]


def test_a_refused_request_is_told_with_its_route_and_whose_key_it_was(
    http: TestClient, told: Callable[[], list[dict[str, Any]]], make_key: MakeKey, app_database: Database
) -> None:
    few, writer = make_key("vision", "read", limits=KeyLimits(requests_per_minute=1)), make_key("speech", "submit")
    expired, revoked = make_key("old", "read", lives_s=-1), make_key("gone", "read")
    with app_database.begin() as tx:
        api_keys.revoke(tx, prefix(revoked))
    for key in (few, few, writer, expired, revoked):
        http.get("/v1/jobs/job_1/trials", headers=key)

    lines = told()

    assert [line["status"] for line in lines] == [404, 429, 403, 401, 401]
    assert {line["route"] for line in lines} == {"/v1/jobs/{job_id}/trials"}
    assert [line["owner"] for line in lines] == ["vision", "vision", "speech", "old", "gone"]
    assert [line["key"] for line in lines] == [prefix(key) for key in (few, few, writer, expired, revoked)]


def test_a_stranger_is_told_with_the_route_alone_and_neither_with_what_was_sent(
    http: TestClient, told: Callable[[], list[dict[str, Any]]], make_key: MakeKey
) -> None:
    token = make_key("vision", "read")["Authorization"]
    for path in ("/v1/jobs/hunter2", "/hunter2", "/v1/jobs/hunter2/more/of/it"):
        http.get(path, headers={"Authorization": token[:-1] + "x"})

    lines = told()

    assert [(line["status"], line["route"]) for line in lines] == [
        (401, "/v1/jobs/{job_id}"),
        (401, "none"),
        (401, "none"),
    ]
    assert not [line for line in lines if "owner" in line or "key" in line]
    assert not [line for line in lines if "hunter2" in str(line) or token.rpartition("_")[2][:-1] in str(line)]


def test_refused_requests_are_counted_by_the_template_of_their_route(
    app: Any, http: TestClient, make_key: MakeKey
) -> None:
    make_key("vision", "read")
    for number in range(3):
        http.delete(f"/v1/jobs/{number}")
        http.get(f"/v1/jobs/{number}")

    shown = app.state.services.metrics.render().decode()

    for method in ("GET", "DELETE"):
        counted = f'safs_request_seconds_count{{method="{method}",route="/v1/jobs/{{job_id}}",status="401"}} 3.0'
        assert counted in shown


def test_a_request_while_the_database_is_away_is_told_with_its_route(
    settings: ApiSettings, told: Callable[[], list[dict[str, Any]]]
) -> None:
    away = settings.model_copy(update={"database_url": "postgresql://safs@127.0.0.1:1/safs"})
    with from_this_machine(create_app(away)) as http:
        http.get("/v1/jobs/job_1")

    assert [(line["status"], line["route"]) for line in told()] == [(503, "/v1/jobs/{job_id}")]


def test_a_scrape_that_is_refused_is_not_only_for_debugging(
    http: TestClient, told: Callable[[], list[dict[str, Any]]], make_key: MakeKey
) -> None:
    http.get("/metrics", headers=make_key("vision", "read"))

    assert [(line["levelname"], line["route"], line["status"]) for line in told()] == [("INFO", "/metrics", 403)]


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
