"""Uploads in parts: the parts may come in any order and again, each with its digest; what they become is checked."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from api.settings import ApiSettings
from api.uploads import parts as parts_module
from safs.client import Backoff, Client, ServiceError
from safs.client import service as service_module
from tests.api.uploads.data_sets import parts
from tests.api.uploads.test_uploads import OCTETS
from tests.api.uploads.test_uploads import _files as stored_files

PART = 4000
FILE = parts()


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_module, "PART_BYTES", PART)
    monkeypatch.setattr("api.routes.upload_parts.PART_BYTES", PART)
    monkeypatch.setattr(service_module, "IN_PARTS_BYTES", 1000)


def _begin(http: TestClient, size_bytes: int = len(FILE)) -> dict[str, Any]:
    response = http.post("/v1/incoming-uploads", json={"filename": "parts.npz", "size_bytes": size_bytes})
    assert response.status_code == 201, response.text
    begun: dict[str, Any] = response.json()
    return begun


def _part(number: int) -> bytes:
    return FILE[(number - 1) * PART : number * PART]


def _digest(content: bytes) -> dict[str, str]:
    return OCTETS | {"Content-Digest": f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"}


def _put(http: TestClient, begun: dict[str, Any], number: int, content: bytes | None = None) -> httpx.Response:
    content = _part(number) if content is None else content
    return http.put(f"/v1/incoming-uploads/{begun['id']}/parts/{number}", content=content, headers=_digest(content))


def test_parts_in_any_order_become_the_upload_and_completing_again_returns_it(
    http: TestClient, settings: ApiSettings
) -> None:
    begun = _begin(http)
    numbers = begun["missing"]

    for number in [*reversed(numbers), 1]:
        assert _put(http, begun, number).status_code == 200
    done = http.post(f"/v1/incoming-uploads/{begun['id']}/complete")
    again = http.post(f"/v1/incoming-uploads/{begun['id']}/complete")

    assert numbers == list(range(1, -(-len(FILE) // PART) + 1))
    assert (done.status_code, done.json()["kind"], done.json()["size_bytes"]) == (201, "arrays", len(FILE))
    assert again.json() == done.json()
    assert FILE in [file.read_bytes() for file in stored_files(settings)]
    assert http.get(f"/v1/incoming-uploads/{begun['id']}").json()["upload_id"] == done.json()["id"]


def test_a_part_that_arrives_damaged_is_refused_and_leaves_nothing(http: TestClient, settings: ApiSettings) -> None:
    begun = _begin(http)
    address = f"/v1/incoming-uploads/{begun['id']}/parts/1"

    damaged = http.put(address, content=bytes(PART), headers=_digest(_part(1)))
    short = _put(http, begun, 1, _part(1)[:-1])
    bare = http.put(address, content=_part(1), headers=OCTETS | {"Content-Digest": "md5=:abc:"})

    assert [one.json()["code"] for one in (damaged, short, bare)] == ["invalid_upload"] * 3
    assert "Content-Digest says" in damaged.json()["detail"]
    assert f"must have {PART} bytes" in short.json()["detail"]
    assert "RFC 9530" in bare.json()["detail"]
    assert stored_files(settings) == []


def test_an_incomplete_upload_names_what_is_missing(http: TestClient) -> None:
    begun = _begin(http)
    _put(http, begun, 2)

    refused = http.post(f"/v1/incoming-uploads/{begun['id']}/complete").json()

    assert refused["code"] == "invalid_upload"
    assert "the parts 1, 3" in refused["detail"]
    assert [part["number"] for part in http.get(f"/v1/incoming-uploads/{begun['id']}").json()["parts"]] == [2]


@pytest.mark.parametrize("number", [0, 99])
def test_a_part_that_the_file_does_not_have_is_refused(http: TestClient, number: int) -> None:
    assert _put(http, _begin(http), number, b"x").status_code == 422


def test_a_file_above_the_limit_is_refused_before_its_first_part(http: TestClient) -> None:
    refused = http.post("/v1/incoming-uploads", json={"size_bytes": 10**7})

    assert (refused.status_code, refused.json()["code"]) == (413, "upload_too_large")


def test_the_client_sends_a_part_again_and_resumes_an_upload(url: str, tmp_path: Path) -> None:
    (tmp_path / "parts.npz").write_bytes(FILE)
    sent: list[str] = []

    class Breaks(httpx.HTTPTransport):
        """Loses the answers to the second part: the first three times for one client."""

        left = 3

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "PUT":
                sent.append(request.url.path.rsplit("/", 1)[1])
                if sent[-1] == "2" and self.left:
                    self.left -= 1
                    raise httpx.ReadError("reset")
            return super().handle_request(request)

    impatient = Backoff(attempts=1, sleep=lambda _: None)
    with Client(url, Breaks(), backoff=impatient) as client, pytest.raises(ServiceError) as broken:
        client.upload(tmp_path / "parts.npz")
    resume = str(broken.value).rpartition("resume='")[2].removesuffix("')")
    before = list(sent)
    with Client(url, Breaks(), backoff=Backoff(attempts=5, sleep=lambda _: None)) as client:
        upload_id = client.upload(tmp_path / "parts.npz", resume=resume)
        other = tmp_path / "other.npz"
        other.write_bytes(FILE[::-1])
        with pytest.raises(ServiceError, match="not the file whose upload"):
            client.upload(other, resume=_with_first_part(url))

    assert before == ["1", "2", "2"]
    assert sent[3:7] == ["2", "2", "2", "2"]
    assert "1" not in sent[3:]
    assert upload_id.startswith("upload_")


def _with_first_part(url: str) -> str:
    """The id of an upload whose first part has arrived."""
    with httpx.Client(base_url=url, trust_env=False) as http:
        begun = http.post("/v1/incoming-uploads", json={"size_bytes": len(FILE)}).json()
        http.put(f"/v1/incoming-uploads/{begun['id']}/parts/1", content=_part(1), headers=_digest(_part(1)))
    return str(begun["id"])
