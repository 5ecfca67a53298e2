"""Uploads: what is well-formed is kept, what is not leaves nothing behind; ``hostile`` has what is not."""

import socket
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from fastapi.testclient import TestClient
from safetensors.torch import save

from api.settings import ApiSettings
from tests.api.hostile.corpus import WEIGHTS

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
    host, port = url.removeprefix("http://").split(":")
    head = f"POST /v1/uploads HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/octet-stream\r\n"

    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(f"{head}Content-Length: {len(WEIGHTS)}\r\n\r\n".encode() + WEIGHTS[:-9])
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass

    assert _files(settings) == []


def _files(settings: ApiSettings) -> list[Path]:
    return [path for path in settings.artifacts_folder.rglob("*") if path.is_file() and path.name != ".lock"]
