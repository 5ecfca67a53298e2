"""Uploads: what is well-formed is kept, what is not leaves nothing behind; ``hostile`` has what is not."""

import json
import socket
from hashlib import sha256
from http.client import HTTPResponse
from pathlib import Path

import httpx
import pytest
import torch
from anyio import CapacityLimiter
from fastapi.testclient import TestClient
from safetensors.torch import save

from api.settings import ApiSettings
from api.uploads import request_body
from tests.api.conftest import running
from tests.api.uploads.corpus import WEIGHTS
from tests.waiting import wait_until

OCTETS = {"Content-Type": "application/octet-stream"}


def test_safetensors_are_kept_and_named_by_an_id(http: TestClient, settings: ApiSettings) -> None:
    response = http.post("/v1/uploads?filename=dense.safetensors", content=WEIGHTS, headers=OCTETS)

    upload = response.json()
    assert response.status_code == 201
    assert (upload["filename"], upload["tensors"], upload["size_bytes"]) == ("dense.safetensors", 3, len(WEIGHTS))
    assert upload["sha256"] == sha256(WEIGHTS).hexdigest()
    assert http.get(f"/v1/uploads/{upload['id']}").json() == upload
    assert [path.read_bytes() for path in _files(settings)] == [WEIGHTS]


@pytest.mark.parametrize("announced", [True, False])
def test_an_upload_above_the_limit_is_refused_and_leaves_nothing(
    http: TestClient, settings: ApiSettings, announced: bool
) -> None:
    content = save({"w": torch.zeros(300_000)})
    body = content if announced else (content[start : start + 4096] for start in range(0, len(content), 4096))

    response = http.post("/v1/uploads", content=body, headers=OCTETS)

    assert (response.status_code, response.json()["code"]) == (413, "upload_too_large")
    assert "1000000" in response.json()["detail"]
    assert _files(settings) == []


@pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=x", "application/json", ""])
def test_only_raw_bytes_are_taken(http: TestClient, content_type: str) -> None:
    response = http.post("/v1/uploads", content=WEIGHTS, headers={"Content-Type": content_type})

    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")
    assert "application/octet-stream" in response.json()["detail"]


def test_a_connection_that_ends_early_leaves_nothing(url: str, settings: ApiSettings) -> None:
    with _begun(url) as connection:
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass

    assert _files(settings) == []


def test_an_upload_that_stands_still_is_given_up_leaves_nothing_and_makes_room_for_the_next(
    settings: ApiSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_body, "MAX_PAUSE_S", 0.5)
    with running(settings) as (url, server):
        threads: CapacityLimiter = server.config.app.state.services.upload_threads
        threads.total_tokens = 1
        with _begun(url) as connection:
            wait_until(lambda: threads.borrowed_tokens == 1)
            next_one = httpx.post(f"{url}/v1/uploads", content=WEIGHTS, headers=OCTETS, timeout=60, trust_env=False)
            answer = HTTPResponse(connection)
            answer.begin()
            problem = json.load(answer)
        wait_until(lambda: threads.borrowed_tokens == 0)

    assert (answer.status, problem["code"]) == (422, "invalid_upload")
    assert problem["detail"].startswith("the upload timed out: no bytes arrived for 0.5 s")
    assert next_one.status_code == 201
    assert [path.read_bytes() for path in _files(settings)] == [WEIGHTS]


def _begun(url: str) -> socket.socket:
    """A connection on which an upload was begun: its last bytes are missing."""
    host, port = url.removeprefix("http://").split(":")
    head = f"POST /v1/uploads HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/octet-stream\r\n"
    connection = socket.create_connection((host, int(port)), timeout=30)
    connection.sendall(f"{head}Content-Length: {len(WEIGHTS)}\r\n\r\n".encode() + WEIGHTS[:-9])
    return connection


def _files(settings: ApiSettings) -> list[Path]:
    return [path for path in settings.artifacts_folder.rglob("*") if path.is_file() and path.name != ".lock"]
