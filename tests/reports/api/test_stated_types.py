"""The document types what a job holds, so that generated clients know its spec, result and stage, and each file."""

from typing import Any

from fastapi import FastAPI

MEDIA_TYPES = {
    "checkpoint": "application/octet-stream",
    "config": "application/json",
    "report": "application/json",
    "picture": "image/png",
}


def test_spec_result_and_stage_of_a_job_are_typed(app: FastAPI) -> None:
    job = app.openapi()["components"]["schemas"]["Job"]["properties"]

    assert _references(job["spec"]) == {"JobSpec"}
    assert _references(job["result"]) == {"JobResult"}
    assert _references(job["stage"]) == {"Stage"}


def test_every_file_has_its_media_type(app: FastAPI) -> None:
    for name, media_type in MEDIA_TYPES.items():
        response = app.openapi()["paths"][f"/v1/jobs/{{job_id}}/{name}"]["get"]["responses"]["200"]

        assert list(response["content"]) == [media_type]


def test_every_response_with_content_has_a_schema(app: FastAPI) -> None:
    for path, operations in app.openapi()["paths"].items():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                for media_type, content in response.get("content", {}).items():
                    assert content.get("schema"), (path, status, media_type)


def _references(field: dict[str, Any]) -> set[str]:
    options = field.get("anyOf", [field])
    return {str(option["$ref"]).rpartition("/")[2] for option in options if "$ref" in option}
