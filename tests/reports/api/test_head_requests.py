"""HEAD is answered wherever GET is, with the headers of GET and without a body (RFC 9110, section 9.3.2)."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.settings import ApiSettings
from tests.api.conftest import FILES, MINIMAL, ScriptedRunner
from tests.api.endpoints import endpoints

VARYING = {"date", "x-request-id"}


@pytest.mark.usefixtures("no_exports")
def test_every_address_with_get_answers_head_with_the_same_status_and_headers(
    app: FastAPI, http: TestClient, submit: Callable[..., str], runner: Any
) -> None:
    job_id = submit()
    runner.start()
    runner.trial("tune", 0, [0.5])
    runner.succeed()

    for endpoint in endpoints(app):
        if endpoint.method == "GET" and endpoint.path != "/metrics":
            address = endpoint.address({"job_id": job_id})
            got, head = http.get(address), http.head(address)

            assert head.status_code == got.status_code, address
            assert _headers(head) == _headers(got), address
            assert head.content == b"", address


def test_the_metrics_and_the_pages_answer_head(http: TestClient) -> None:
    for address in ("/metrics", "/docs", "/docs/swagger-ui.css", "/openapi.json"):
        head = http.head(address)

        assert (head.status_code, head.content) == (200, b""), address
        assert int(head.headers["Content-Length"]) > 500, address


@pytest.mark.parametrize("name", FILES)
def test_head_of_a_file_tells_its_size_and_hash_and_sends_nothing(
    url: str, settings: ApiSettings, runner: ScriptedRunner, name: str
) -> None:
    """The server closes or keeps the connection properly: the next request on it is answered."""
    with httpx.Client(base_url=url) as client:
        job_id = client.post("/v1/jobs", json=MINIMAL).json()["id"]
        runner.start()
        runner.succeed()

        head = client.head(f"/v1/jobs/{job_id}/{name}")
        full = client.get(f"/v1/jobs/{job_id}/{name}")

        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["Content-Length"]) == len(full.content) == len(FILES[name][0])
        assert head.headers["ETag"] == full.headers["ETag"]
        assert head.headers["Content-Type"] == full.headers["Content-Type"]
        unchanged = client.head(f"/v1/jobs/{job_id}/{name}", headers={"If-None-Match": full.headers["ETag"]})
        assert unchanged.status_code == 304


def test_head_of_an_endless_stream_ends(url: str) -> None:
    with httpx.Client(base_url=url, timeout=20) as client:
        job_id = client.post("/v1/jobs", json=MINIMAL).json()["id"]

        head = client.head(f"/v1/jobs/{job_id}/events", headers={"Accept": "text/event-stream"})

        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Type"].startswith("text/event-stream")
        assert client.get("/livez").status_code == 200


def test_head_is_refused_where_there_is_no_get(http: TestClient) -> None:
    refused = http.head("/v1/jobs/job_1/cancel")

    assert (refused.status_code, refused.headers["Allow"]) == (405, "POST")
    assert http.delete("/v1/jobs/job_1").headers["Allow"] == "GET, HEAD"


def _headers(response: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name not in VARYING}
