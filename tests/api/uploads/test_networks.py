"""Uploads of declared networks: checked before they are stored, and jobs that name them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
import torch
from torch import Tensor, nn

import safs
from api.settings import ApiSettings
from api.uploads.network_check import check_network
from migrations import upgrade
from safs.errors import NetworkTooLargeError
from tests.api.conftest import running
from tests.api.uploads.corpus import WEIGHTS
from tests.models.declared.good_document import GOOD, header
from tests.models.declared.networks import Own

OCTETS = {"Content-Type": "application/octet-stream"}
JOB: dict[str, Any] = {"data": {"dataset": "digits"}, "sparsity": 0.5}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a captured network."""
    folder = tmp_path_factory.mktemp("network")
    return safs.capture(Own(), (1, 8)).save(folder / "network.safetensors").read_bytes()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, ApiSettings]]:
    """A real server, one for all tests."""
    home = tmp_path_factory.mktemp("home")
    settings = ApiSettings(
        home=home, database_url=f"sqlite:///{home}/safs.db", free_disk_bytes=0, estimate_limit_s=0, network_gflops=0.001
    )
    upgrade(settings.database_url)
    with running(settings) as (address, _), httpx.Client(base_url=address, timeout=300) as client:
        yield client, settings


@pytest.fixture(scope="module")
def http(served: tuple[httpx.Client, ApiSettings]) -> httpx.Client:
    """A client of the server."""
    return served[0]


@pytest.fixture(scope="module")
def uploaded(http: httpx.Client, network: bytes) -> dict[str, Any]:
    """The upload of the captured network."""
    return upload(http, network)


def upload(http: httpx.Client, content: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = http.post("/v1/uploads?filename=net", content=content, headers=OCTETS).json()
    return answer


def test_a_job_takes_an_uploaded_network(http: httpx.Client, uploaded: dict[str, Any]) -> None:
    found = http.post("/v1/jobs?validate_only=true", json=JOB | {"model": {"network": uploaded["id"]}})
    queued = http.post("/v1/jobs", json=JOB | {"model": {"network": uploaded["id"]}})

    assert found.status_code == 200, found.text
    assert (found.json()["channels"], found.json()["image_size"], found.json()["classes"]) == (1, 8, 10)
    assert [site["path"] for site in found.json()["sites"]] == ["relu", "act"]
    assert [layer["shape"] for layer in found.json()["layers"]] == [[4, 1, 3, 3], [16, 64], [10, 16]]
    assert found.json()["weights"] == 36 + 64 * 16 + 160
    assert queued.status_code == 202


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (
            lambda network: network.replace(b"aten.adaptive_avg_pool2d", b"aten.adaptive_avg_pool9d"),
            "unsupported_operation",
            "aten.adaptive_avg_pool2d.default",
        ),
        pytest.param(lambda network: captured(Large(), 64), "network_too_large", "GFLOP", marks=pytest.mark.exhaustive),
    ],
)
def test_a_network_that_is_refused_leaves_nothing(
    served: tuple[httpx.Client, ApiSettings],
    network: bytes,
    make: Callable[[bytes], bytes],
    code: str,
    words: str,
) -> None:
    client, settings = served
    before = sorted(Path(settings.artifacts_folder).rglob("*"))

    refused = upload(client, make(network))

    assert (refused["status"], refused["code"]) == (422, code)
    assert words in refused["detail"]
    assert sorted(Path(settings.artifacts_folder).rglob("*")) == before


@pytest.mark.parametrize(
    ("model", "data", "code", "field"),
    [
        ({"architecture": "lenet5"}, {}, "invalid_request", "model.architecture"),
        ({"weights": "upload_0"}, {}, "invalid_request", "model.weights"),
        ({}, {"image_size": 16}, "network_mismatch", "data.image_size"),
        ({}, {"channels": 3}, "network_mismatch", "data.channels"),
    ],
)
def test_what_does_not_go_with_the_network_is_refused(
    http: httpx.Client, uploaded: dict[str, Any], model: dict[str, Any], data: dict[str, Any], code: str, field: str
) -> None:
    body = JOB | {"model": {"network": uploaded["id"], **model}, "data": JOB["data"] | data}
    refused = http.post("/v1/jobs", json=body).json()

    assert (refused["status"], refused["code"], refused["errors"][0]["field"]) == (422, code, field)


@pytest.mark.exhaustive  # The next test refuses other mismatches.
def test_another_number_of_classes_is_a_mismatch(http: httpx.Client) -> None:
    other = upload(http, captured(Own(classes=7), 8))

    refused = http.post("/v1/jobs", json=JOB | {"model": {"network": other["id"]}}).json()

    assert (refused["code"], refused["errors"][0]["field"]) == ("network_mismatch", "model.network")
    assert "7 classes, and the data set has 10" in refused["detail"]
    assert "set model.head: reset" in refused["detail"]

    model = {"network": other["id"], "head": "reset"}
    accepted = http.post("/v1/jobs?validate_only=true", json=JOB | {"model": model})
    assert (accepted.status_code, accepted.json()["classes"]) == (200, 10)
    assert accepted.json()["layers"][-1]["shape"] == [10, 16]


def test_weights_alone_are_no_network(http: httpx.Client) -> None:
    weights = upload(http, WEIGHTS)

    refused = http.post("/v1/jobs", json=JOB | {"model": {"network": weights["id"]}}).json()

    assert (refused["code"], refused["errors"][0]["field"]) == ("invalid_network", "model.network")
    assert "safs.capture" in refused["detail"]


def test_a_check_that_takes_too_long_is_ended() -> None:
    with pytest.raises(NetworkTooLargeError, match=r"longer than 0\.01 s"):
        check_network(header(GOOD), max_gflops=1.0, timeout_s=0.01)


class Large(nn.Module):
    """Takes 0.3 GFLOP an image."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 128, 17, padding=8)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = torch.relu(self.convolution(x)).mean((2, 3))
        return logits


def captured(module: nn.Module, size: int) -> bytes:
    with TemporaryDirectory() as folder:
        return safs.capture(module, (1, size)).save(Path(folder) / "network.safetensors").read_bytes()
