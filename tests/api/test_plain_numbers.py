"""What a schema calls a number is one, what it calls optional may be null, and an address names all its methods."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from api.schemas import JobRequest

MINIMAL: dict[str, Any] = {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": 0.99}


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"seed": False}, "seed"),
        ({"sparsity": True}, "sparsity"),
        ({"train": {"epochs": True}}, "train.epochs"),
        ({"resources": {"gpus_per_trial": True}}, "resources.gpus_per_trial"),
    ],
)
def test_a_truth_value_is_no_number(more: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError, match=f"{where} is (true|false), which is no number"):
        JobRequest.model_validate(MINIMAL | more)


@pytest.mark.parametrize(
    "more", [{}, {"activations": {"options": {"portfolio": True}}}, {"tune": {"portfolio": False}}]
)
def test_truth_values_are_taken_where_they_belong(more: dict[str, Any]) -> None:
    JobRequest.model_validate(MINIMAL | more)


@pytest.mark.parametrize("section", ["train", "prune", "activations", "tune", "joint", "final"])
def test_a_section_that_is_null_is_the_presets_as_the_schema_says(section: str) -> None:
    request = JobRequest.model_validate(MINIMAL | {section: None})

    assert request == JobRequest.model_validate(MINIMAL)
    assert {"type": "null"} in JobRequest.model_json_schema()["properties"][section]["anyOf"]


def test_allow_names_all_methods_of_an_address(http: TestClient) -> None:
    response = http.request("DELETE", "/v1/jobs")

    assert (response.status_code, response.headers["Allow"]) == (405, "GET, POST")
