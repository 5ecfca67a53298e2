"""The OpenAPI document tells everything: summaries, examples, every error."""

import re
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.errors import PROBLEM_TYPES
from api.routes.jobs import REFUSALS
from safs.spec.job import JobSpec


@pytest.fixture
def document(http: TestClient) -> dict[str, Any]:
    return dict(http.get("/openapi.json").json())


def test_every_operation_has_a_summary_a_description_and_its_errors(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], path
            assert operation["description"], path
            errors = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
            assert path == "/livez" or "500" in errors, (method, path)
            for answer in errors.values():
                assert list(answer["content"]) == ["application/problem+json"], (method, path)


def test_every_code_is_documented_under_its_status(document: dict[str, Any]) -> None:
    told = {
        (code, int(status))
        for operations in document["paths"].values()
        for operation in operations.values()
        for status, answer in operation["responses"].items()
        for code in answer.get("content", {}).get("application/problem+json", {}).get("examples", {})
    }
    of_the_framework = {"malformed_request", "not_found", "method_not_allowed", "schema_missing"}

    assert told == {(code, kind.status) for code, kind in PROBLEM_TYPES.items() if code not in of_the_framework}


def test_the_documentation_of_jobs_lists_every_refusal_once_with_its_status() -> None:
    jobs = (Path(__file__).parents[2] / "docs" / "jobs.md").read_text()

    told = re.findall(r"^\| `(\w+)` \| (\d+) \|", jobs.partition("## A job that is refused")[2], flags=re.MULTILINE)

    assert sorted(told) == sorted((code, str(PROBLEM_TYPES[code].status)) for code in REFUSALS)


def test_every_code_has_a_row_in_the_documentation() -> None:
    docs = Path(__file__).parents[2] / "docs"
    rows = [line for name in ("api.md", "jobs.md") for line in (docs / name).read_text().splitlines() if "|" in line]

    def is_told(code: str) -> bool:
        return any(f"`{code}`" in row and f"| {PROBLEM_TYPES[code].status} |" in row for row in rows)

    assert [code for code in PROBLEM_TYPES if not is_told(code)] == []


def test_the_examples_of_a_job_are_jobs_and_two_sections_are_required(document: dict[str, Any]) -> None:
    body = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]

    assert set(body["examples"]) == {"minimal", "full"}
    for example in body["examples"].values():
        JobSpec.model_validate(example["value"])
    schema = document["components"]["schemas"]["JobRequest"]
    assert schema["required"] == ["model", "data"]
    assert {"sparsity", "target"} <= schema["properties"].keys()


def test_schemas_state_defaults_in_words_alone(document: dict[str, Any]) -> None:
    """Generated clients send a ``default``, and TypeScript takes its property as required."""
    schemas = document["components"]["schemas"]
    stated = [
        (name, field)
        for name, schema in schemas.items()
        for field, value in schema.get("properties", {}).items()
        if "default" in value
    ]

    assert stated == []
    assert schemas["DataSpec"]["properties"]["batch_size"]["description"].endswith("Default: `256`.")
    assert schemas["JobRequest"]["properties"]["preset"]["description"].endswith('Default: `"balanced"`.')


def test_all_references_lead_somewhere(document: dict[str, Any]) -> None:
    for reference in _references(document):
        target: Any = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]


def _references(node: Any) -> list[str]:
    match node:
        case {"$ref": str(reference)}:
            return [reference]
        case dict():
            return [reference for value in node.values() for reference in _references(value)]
        case list():
            return [reference for value in node for reference in _references(value)]
        case _:
            return []
