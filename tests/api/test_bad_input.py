"""Every kind of bad input is a problem at POST, with a code, a field and the way out, and queues nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from safetensors.torch import save, save_file

from api.checks.checker import Checker
from api.settings import ApiSettings
from safs import models
from tests.api.conftest import from_this_machine
from tests.checks_in_process import InThisProcess

MINIMAL: dict[str, Any] = {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": 0.99}
NUMBERS = {
    "sparsity of one": ({"sparsity": 1}, "sparsity", "less than 1"),
    "negative sparsity": ({"sparsity": -0.1}, "sparsity", "-0.1"),
    "sparsity that is no number": ({"sparsity": "lots"}, "sparsity", "'lots'"),
    "sparsity that is not finite": ({"sparsity": float("nan")}, "sparsity", "finite"),
    "no epochs": ({"train": {"epochs": 0}}, "train.epochs", "greater than or equal to 1"),
    "a number or a word": (
        {"resources": {"trials_in_parallel": 0}},
        "resources.trials_in_parallel",
        "'auto'",
    ),
    "misspelt key": ({"sparcity": 0.9}, "sparcity", "Did you mean 'sparsity'?"),
    "misspelt key in a section": ({"tune": {"trails": 3}}, "tune.trails", "Did you mean 'trials'?"),
    "unknown scope": ({"activations": {"scope": "layer"}}, "activations.scope", "'site', 'block' or 'network'"),
    "too warm a start": ({"warm_start": 21}, "warm_start", "less than or equal to 20"),
    "unknown preset": ({"preset": "fast"}, "preset", "'quick', 'balanced' or 'paper'"),
    "item of a list": ({"activations": {"operators": ["relu", ""]}}, "activations.operators.1", "at least 1"),
    "no baseline": ({"final": {"candidates": ["safs"]}}, "final", "'default'"),
}
NAMES = {
    "architecture": ({"model": {"architecture": "lenet"}}, "model.architecture", "lenet5"),
    "no classification model": ({"model": {"architecture": "torchvision/resnet"}}, "model.architecture", "resnet18"),
    "dataset": ({"data": {"dataset": "digit"}}, "data.dataset", "digits"),
    "operator": ({"activations": {"operators": ["relu", "swich"]}}, "activations.operators.1", "swish"),
    "strategy": ({"activations": {"strategy": "lhac"}}, "activations.strategy", "lahc"),
    "strategy of stage 2": ({"tune": {"strategy": "smack"}}, "tune.strategy", "smac"),
    "strategy of both stages": ({"joint": {"strategy": "randm"}}, "joint.strategy", "random"),
    "method": ({"prune": {"method": "magnitud"}}, "prune.method", "magnitude"),
    "distribution": ({"prune": {"distribution": "globl"}}, "prune.distribution", "global"),
    "optimizer": ({"train": {"optimizer": "adma"}}, "train.optimizer", "adam"),
    "schedule": ({"train": {"schedule": "cosin"}}, "train.schedule", "cosine"),
}


@pytest.mark.parametrize(("change", "field", "words"), NUMBERS.values(), ids=NUMBERS)
def test_a_value_that_is_not_allowed_is_named_by_its_dotted_path(
    http: TestClient, change: dict[str, Any], field: str, words: str
) -> None:
    response = http.post("/v1/jobs", content=json.dumps(MINIMAL | change), headers={"Content-Type": "application/json"})

    problem = response.json()
    assert (response.status_code, problem["code"]) == (422, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == [field]
    assert words in problem["errors"][0]["message"]
    _is_refusal(http, response)


def test_all_wrong_fields_are_told_at_once(http: TestClient) -> None:
    response = http.post("/v1/jobs", json={"model": {}, "sparsity": 2, "seed": -1})

    fields = {error["field"]: error["message"] for error in response.json()["errors"]}
    assert set(fields) == {"model.architecture", "data", "sparsity", "seed"}
    assert fields["data"] == "this field is required"
    assert "and 3 more" in response.json()["detail"]


@pytest.mark.parametrize(("change", "field", "meant"), NAMES.values(), ids=NAMES)
def test_an_unknown_name_is_answered_with_the_known_ones(
    http: TestClient, change: dict[str, Any], field: str, meant: str
) -> None:
    response = http.post("/v1/jobs", json=MINIMAL | change)

    problem = response.json()
    assert (response.status_code, problem["code"]) == (422, "unknown_name")
    assert problem["errors"] == [{"field": field, "message": problem["detail"]}]
    assert meant in problem["detail"].partition("Known: ")[2]
    _is_refusal(http, response)


def test_a_sparsity_that_empties_a_layer_names_the_layer_and_what_to_choose(http: TestClient) -> None:
    response = http.post("/v1/jobs", json=MINIMAL | {"sparsity": 0.999, "prune": {"distribution": "uniform"}})

    problem = response.json()
    assert (response.status_code, problem["code"], problem["errors"][0]["field"]) == (
        422,
        "impossible_sparsity",
        "sparsity",
    )
    assert "conv1" in problem["detail"]
    assert "global" in problem["detail"]


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"data": {"dataset": "image_folder", "path": "cats"}}, "data_unavailable", "data.path"),
        ({"data": {"dataset": "npz", "path": "../secrets.npz"}}, "data_unavailable", "data.path"),
        ({"data": {"dataset": "npz"}}, "invalid_spec", "data.path"),
        ({"data": {"dataset": "digits", "path": "cats"}}, "invalid_spec", "data.path"),
        ({"final": {"candidates": ["default"]}, "prune": {"search": None}}, "invalid_spec", "final.candidates"),
        ({"joint": {"strategy": "lahc"}}, "invalid_spec", "joint.strategy"),
        ({"joint": {"options": {"kernel": "rbf"}}}, "invalid_spec", "joint.options.kernel"),
        ({"model": {"architecture": "lenet5", "weights": "upload_0"}}, "unknown_upload", "model.weights"),
    ],
)
def test_what_does_not_fit_or_is_not_there_is_told_before_the_job_is_queued(
    http: TestClient, change: dict[str, Any], code: str, field: str
) -> None:
    response = http.post("/v1/jobs", json=MINIMAL | change)

    assert (response.status_code, response.json()["code"]) == (422, code)
    assert response.json()["errors"][0]["field"] == field
    _is_refusal(http, response)


def test_weights_that_do_not_fit_the_architecture_are_refused_with_the_first_mismatches(http: TestClient) -> None:
    state = models.build("lenet5", channels=1, classes=10, image_size=28).state_dict()
    weights = save(state | {"conv1.weight": torch.zeros(6, 1, 3, 3)})
    upload = http.post("/v1/uploads", content=weights, headers={"Content-Type": "application/octet-stream"}).json()

    response = http.post("/v1/jobs", json=MINIMAL | {"model": {"architecture": "lenet5", "weights": upload["id"]}})

    assert (response.status_code, response.json()["code"]) == (422, "invalid_weights")
    assert response.json()["errors"][0]["field"] == "model.weights"
    assert all(words in response.json()["detail"] for words in ("conv1.weight", "[6, 1, 3, 3]", "[6, 1, 5, 5]"))


def test_a_path_is_no_upload_id(http: TestClient, settings: ApiSettings, tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(1)}, tmp_path / "mine.safetensors")

    model = {"architecture": "lenet5", "weights": str(tmp_path / "mine.safetensors")}
    response = http.post("/v1/jobs", json=MINIMAL | {"model": model})

    assert response.json()["code"] == "unknown_upload"


@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        (b'{"model": ', "application/json", 400, "malformed_json"),
        (b"", "application/json", 422, "invalid_request"),
        (b"[1]", "application/json", 422, "invalid_request"),
        (b"sparsity=0.99", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b" " * (2**20 + 1), "application/json", 413, "body_too_large"),
        (b"[" * 100_000, "application/json", 400, "malformed_request"),
        (b'{"name": "\xff"}', "application/json", 400, "malformed_request"),
    ],
)
def test_a_body_that_is_no_job_is_a_problem(
    http: TestClient, content: bytes, content_type: str, status: int, code: str
) -> None:
    response = http.post("/v1/jobs", content=content, headers={"Content-Type": content_type})

    assert (response.status_code, response.json()["code"]) == (status, code)
    _is_refusal(http, response)


def test_a_body_without_announced_length_is_limited_too(http: TestClient) -> None:
    chunks = (b" " * 2**19 for _ in range(3))

    response = http.post("/v1/jobs", content=chunks, headers={"Content-Type": "application/json"})

    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("PATCH", "/v1/jobs/job_1", 405, "method_not_allowed"),
        ("GET", "/v1/jobs/job_1", 404, "job_not_found"),
        ("GET", "/v1/jobs/job_1/trials", 404, "job_not_found"),
        ("GET", "/v1/jobs/job_1/trials/tune/0/curve", 404, "job_not_found"),
        ("GET", "/v1/jobs/job_1/events", 404, "job_not_found"),
        ("POST", "/v1/jobs/job_1/cancel", 404, "job_not_found"),
        ("GET", "/v1/jobs/job_1/checkpoint", 404, "job_not_found"),
        ("GET", "/v1/jobs/..%2F..%2Fetc%2Fpasswd", 404, "not_found"),
        ("GET", "/v1/uploads/upload_1", 404, "upload_not_found"),
        ("GET", "/v1/catalog/colours", 404, "unknown_kind"),
        ("GET", "/v1/jobs?page_token=abc", 400, "invalid_page_token"),
        ("GET", "/v1/jobs?page_token=%00", 400, "invalid_page_token"),
        ("GET", "/v1/jobs?limit=0", 422, "invalid_request"),
        ("GET", "/v1/jobs?state=sleeping", 422, "invalid_request"),
        ("GET", "/v1/jobs/job_1/events?after=-1", 422, "invalid_request"),
        ("GET", "/v1/jobs/job_1/trials?stage=sauna", 422, "invalid_request"),
    ],
)
def test_what_is_not_there_is_a_problem_too(http: TestClient, method: str, path: str, status: int, code: str) -> None:
    response = http.request(method, path)

    assert (response.status_code, response.json()["code"]) == (status, code)
    _is_problem(response)


def test_a_callers_request_id_is_kept_where_it_is_harmless(http: TestClient) -> None:
    kept = http.get("/v1/nothing", headers={"X-Request-ID": "trace-7"})
    replaced = http.get("/v1/nothing", headers={"X-Request-ID": "<script>"})

    assert kept.json()["request_id"] == kept.headers["x-request-id"] == "trace-7"
    assert replaced.json()["request_id"] == replaced.headers["x-request-id"] != "<script>"


def test_a_defect_says_nothing_of_the_inside(settings: ApiSettings) -> None:
    from api.app import create_app

    class Broken(InThisProcess):
        def ask(self, body: bytes, *, limit_s: float, kind: bytes = b"-") -> bytes:
            raise RuntimeError("password is hunter2")

    checker = Checker(Broken(), estimate_limit_s=0)
    with from_this_machine(create_app(settings, checker=checker)) as http:
        response = http.post("/v1/jobs", json=MINIMAL)

    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert "hunter2" not in response.text
    assert response.json()["request_id"] in response.json()["detail"]
    _is_problem(response)


def _is_refusal(http: TestClient, response: Any) -> None:
    _is_problem(response)
    assert http.get("/v1/jobs").json()["items"] == []


def _is_problem(response: Any) -> None:
    problem = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert set(problem) == {"type", "title", "status", "detail", "code", "errors", "request_id", "retryable"}
    assert problem["status"] == response.status_code
    assert problem["type"] == f"urn:safs:problem:{problem['code']}"
    assert problem["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize(
    ("body", "field", "known"),
    [({"colour": 1}, "colour", "owner"), ({"limits": {"colour": 1}}, "limits.colour", "queued_jobs")],
)
def test_an_unknown_key_of_another_body_than_a_jobs_names_the_keys_of_that_body(http, body, field, known) -> None:
    response = http.post("/v1/keys", json={"owner": "vision", "scopes": ["read"]} | body)

    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["field"] == field
    assert known in error["message"]
    assert "sparsity" not in error["message"]
