"""Job bodies made to break something: refused with the place and the way out, with and without an Idempotency-Key."""

import json
from collections.abc import Iterator
from copy import deepcopy
from itertools import product
from typing import Any, get_args

import pytest
from fastapi.testclient import TestClient
from pydantic import BaseModel

from safs.spec.job import JobSpec
from tests.api.conftest import MINIMAL

PAPER = MINIMAL | {"preset": "paper"}
"""A body whose preset reads more fields than the other presets do."""
OPTIONS = ("prune.options", "activations.options", "tune.options", "joint.options")


def nested(depth: int) -> Any:
    """``depth`` nested dicts."""
    value: Any = 1
    for _ in range(depth):
        value = {"x": value}
    return value


BAD_OPTIONS = {
    "half a character as a name": ({"\ud800": 1}, "lone surrogate"),
    "half a character as a name within": ({"x": {"\ud800": 1}}, "lone surrogate"),
    "half a character": ({"x": ["\udc00"]}, "lone surrogate"),
    "NUL in a name": ({"a\0b": 1}, "NUL"),
    "NUL": ({"x": "\0"}, "NUL"),
    "no name": ({"": 1}, "1 to 200 characters"),
    "no name within": ({"x": {"": 1}}, "1 to 200 characters"),
    "a long name": ({"x" * 201: 1}, "1 to 200 characters"),
    "5 levels": (nested(5), "at most 4 levels"),
    "260 levels": (nested(260), "at most 4 levels"),
    "800 levels": (nested(800), "at most 4 levels"),
    "5 levels of lists": ({"x": [[[[1]]]]}, "at most 4 levels"),
    "a huge number": ({"x": 10**400}, "2^53"),
    "a huge number within": ({"x": [-(10**400)]}, "2^53"),
    "not a number": ({"x": float("nan")}, "2^53"),
}


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "one-job"}], ids=["no key", "key"])
@pytest.mark.parametrize("field", OPTIONS)
@pytest.mark.parametrize(("options", "words"), BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_options_that_cannot_be_kept_are_refused(
    http: TestClient, field: str, options: Any, words: str, headers: dict[str, str]
) -> None:
    response = _post(http, _with(field, options), headers)

    assert (response.status_code, response.json()["code"]) == (422, "invalid_request"), response.text
    (error,) = response.json()["errors"]
    assert error["field"] == field
    assert words in error["message"]


def test_halves_of_characters_are_refused_in_every_field(http: TestClient) -> None:
    _all_refused(http, "\ud800", ["\ud800"], {"\ud800": "\ud800"})


def test_nul_is_refused_in_every_field(http: TestClient) -> None:
    _all_refused(http, "a\0b", "timm/a\0b", ["a\0"], {"a\0": "a\0"})


def test_nul_in_a_label_is_told(http: TestClient) -> None:
    response = _post(http, _with("name", "a\0b"), {})

    (error,) = response.json()["errors"]
    assert (response.status_code, error["field"]) == (422, "name")
    assert "NUL" in error["message"]


def test_deep_nests_are_refused_in_every_field(http: TestClient) -> None:
    _all_refused(http, nested(260), nested(800))


@pytest.mark.parametrize("number", [10**400, -(10**400), 2**63, 1e308], ids=["huge", "negative", "2^63", "1e308"])
def test_numbers_that_nothing_can_reckon_with_are_refused_in_every_field(http: TestClient, number: float) -> None:
    _all_refused(http, number, [number], {"x": number})


def test_a_job_may_take_ten_years_and_no_longer(http: TestClient) -> None:
    taken = _post(http, _with("resources.time_limit_s", 315_360_000), {})
    refused = _post(http, _with("resources.time_limit_s", 315_360_001), {})

    assert (taken.status_code, refused.status_code) == (202, 422)
    (error,) = refused.json()["errors"]
    assert error["field"] == "resources.time_limit_s"
    assert "less than or equal to 315360000" in error["message"]


def _all_refused(http: TestClient, *values: Any) -> None:
    tried = product(_fields(JobSpec), values, ({}, {"Idempotency-Key": "one-job"}))
    refused = [(*each, _post(http, _with(each[0], each[1], PAPER), each[2]).status_code) for each in tried]
    assert [(field, ascii(value)[:50], key, status) for field, value, key, status in refused if status != 422] == []


def _fields(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The dotted paths of all fields, including sections."""
    for name, field in section.model_fields.items():
        yield prefix + name
        for member in (field.annotation, *get_args(field.annotation)):
            if isinstance(member, type) and issubclass(member, BaseModel):
                yield from _fields(member, f"{prefix}{name}.")


def _with(field: str, value: Any, body: dict[str, Any] = MINIMAL) -> dict[str, Any]:
    whole = deepcopy(body)
    *sections, last = field.split(".")
    at = whole
    for section in sections:
        at[section] = at.get(section) if isinstance(at.get(section), dict) else {}
        at = at[section]
    at[last] = value
    return whole


def _post(http: TestClient, body: Any, headers: dict[str, str]) -> Any:
    """httpx's own JSON refuses halves of characters and NaN."""
    return http.post("/v1/jobs", content=json.dumps(body), headers={"Content-Type": "application/json"} | headers)
