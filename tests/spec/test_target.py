"""The target of a job: exactly one of sparsity and target, and exactly one cost in a target."""

from typing import Any

import pytest
from pydantic import ValidationError

from safs.spec.job import JobSpec

BARE: dict[str, Any] = {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}}


@pytest.mark.parametrize(
    "target", [{"flops": 0.3}, {"bytes": 100_000}, {"latency": 0.5}, {"flops": 0.3, "bytes": None}]
)
def test_a_target_takes_the_place_of_a_sparsity_and_survives_json(target: dict[str, Any]) -> None:
    spec = JobSpec.model_validate(BARE | {"target": target, "sparsity": None})

    assert spec.sparsity is None
    assert spec.target is not None
    assert spec.target.model_dump(exclude_none=True) == {spec.target.measure: spec.target.value}
    assert JobSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("given", "place", "message"),
    [
        ({}, ("sparsity",), "Field required, unless target is given"),
        ({"sparsity": 0.9, "target": {"flops": 0.3}}, ("sparsity",), "give either sparsity or target"),
        ({"front": [0.8, 0.9], "target": {"flops": 0.3}}, ("front",), "give either front or target"),
        ({"target": {}}, ("target",), "give exactly one of flops, bytes and latency"),
        ({"target": {"flops": 0.3, "bytes": 9}}, ("target",), "flops, bytes are given"),
        ({"target": {"flops": 1.0}}, ("target", "flops"), "less than 1"),
        ({"target": {"latency": 0}}, ("target", "latency"), "greater than 0"),
        ({"target": {"bytes": 0}}, ("target", "bytes"), "greater than or equal to 1"),
        ({"target": {"bytes": "9"}}, ("target", "bytes"), "written without quotes"),
        ({"target": {"seconds": 1}}, ("target", "seconds"), "not permitted"),
    ],
)
def test_a_wrong_target_is_the_only_error(given: dict[str, Any], place: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        JobSpec.model_validate(BARE | given)

    (problem,) = error.value.errors()
    assert tuple(problem["loc"]) == place
    assert message in problem["msg"]
