"""Numbers in a schema are numbers, optional fields may be null, and a path lists all its methods."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.schemas.jobs import JobRequest

MINIMAL: dict[str, Any] = {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": 0.99}


@pytest.mark.parametrize(
    ("wrong", "field", "message"),
    [
        ({"sparsity": "0.9"}, "sparsity", "input should be a number, written without quotes, not '0.9'"),
        ({"train": {"epochs": True}}, "train.epochs", "input should be a number, not True"),
        (
            {"resources": {"trials_in_parallel": "4"}},
            "resources.trials_in_parallel",
            "input should be a number, written without quotes, not '4'",
        ),
    ],
)
def test_a_text_or_a_truth_value_is_no_number(
    wrong: dict[str, Any], field: str, message: str, http: TestClient
) -> None:
    response = http.post("/v1/jobs", json=MINIMAL | wrong)

    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert response.json()["errors"] == [{"field": field, "message": message}]


@pytest.mark.parametrize("section", ["train", "prune", "activations", "tune", "joint", "final"])
def test_a_section_that_is_null_is_the_presets_as_the_schema_says(section: str) -> None:
    request = JobRequest.model_validate(MINIMAL | {section: None})

    assert request == JobRequest.model_validate(MINIMAL)
    assert {"type": "null"} in JobRequest.model_json_schema()["properties"][section]["anyOf"]


def test_allow_names_all_methods_of_an_address(http: TestClient) -> None:
    response = http.request("DELETE", "/v1/jobs")

    assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD, POST")
