"""Uploads of weights: other formats are named with the conversion, and names that do not fit are shown at POST."""

import io
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from safetensors.torch import save
from torch import Tensor, nn

from safs.models import build
from tests.api.conftest import MINIMAL

OCTETS = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def state() -> dict[str, Tensor]:
    """The state dict of a network that fits the minimal job."""
    network: nn.Module = build("lenet5", channels=1, classes=10, image_size=28, seed=0)
    return network.state_dict()


def _upload(http: TestClient, content: bytes) -> Any:
    return http.post("/v1/uploads", content=content, headers=OCTETS)


def _post(http: TestClient, state: dict[str, Tensor]) -> Any:
    upload = _upload(http, save(state)).json()["id"]
    return http.post("/v1/jobs", json=MINIMAL | {"model": {"architecture": "lenet5", "weights": upload}})


@pytest.mark.parametrize("legacy", [False, True])
def test_an_upload_of_torch_save_is_refused_with_what_it_is_and_the_conversion(
    http: TestClient, state: dict[str, Tensor], legacy: bool
) -> None:
    file = io.BytesIO()
    torch.save(state, file, _use_new_zipfile_serialization=not legacy)

    response = _upload(http, file.getvalue())

    problem = response.json()
    assert (response.status_code, problem["code"]) == (422, "invalid_upload")
    assert "torch.save" in problem["detail"]
    assert "safetensors.torch.save_file(torch.load(" in problem["detail"]
    assert "bytes" not in problem["detail"]


def test_names_that_do_not_fit_are_shown_with_those_of_the_file_at_post(
    http: TestClient, state: dict[str, Tensor]
) -> None:
    response = _post(http, {f"{name}_of_mine": value for name, value in state.items()})

    problem = response.json()
    assert (response.status_code, problem["code"]) == (422, "invalid_weights")
    assert problem["errors"][0]["field"] == "model.weights"
    assert "conv1.weight is missing" in problem["detail"]
    assert "conv1.weight_of_mine" in problem["detail"]


def test_values_beyond_float32_are_refused_at_the_upload_with_the_name_of_their_tensor(
    http: TestClient, state: dict[str, Tensor]
) -> None:
    state = {name: value.double() for name, value in state.items()}
    assert _post(http, state).status_code == 202
    state["fc3.bias"][0] = -1e39

    response = _upload(http, save(state))

    assert (response.status_code, response.json()["code"]) == (422, "invalid_upload")
    assert "'fc3.bias' has values beyond the range of float32" in response.json()["detail"]


@pytest.mark.parametrize("largest", [3.4028234663852886e38, -3.4028234663852886e38, 5e-324, 0.0])
def test_the_largest_and_the_smallest_values_of_float64_that_float32_holds_are_taken(
    http: TestClient, largest: float
) -> None:
    assert _upload(http, save({"w": torch.tensor([largest], dtype=torch.float64)})).status_code == 201
