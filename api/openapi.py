"""The OpenAPI document, with what FastAPI cannot know: what needs a key, and that every error is a problem."""

from typing import Any

from fastapi import FastAPI

from api.gate.access import OPEN, needed_scope
from api.problems import Problem

KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": (
        "An API key, as `safs keys create` shows it. While no key has been made, requests from the service's own "
        "machine need none."
    ),
}


class DocumentedApp(FastAPI):
    """FastAPI, but its document says what needs a key, and problems where FastAPI would put errors of its own."""

    def openapi(self) -> dict[str, Any]:
        """The document, made at the first call."""
        if self.openapi_schema is None:
            self.openapi_schema = _with_problems(super().openapi())
        return self.openapi_schema


def _with_problems(document: dict[str, Any]) -> dict[str, Any]:
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = document["components"]["schemas"]
    schemas |= problem.pop("$defs") | {"Problem": problem}
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    document["components"]["securitySchemes"] = {"key": KEY}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path not in OPEN:
                operation["security"] = [{"key": []}]
                operation["description"] += f"\n\nNeeds a key with the scope `{needed_scope(method.upper(), path)}`."
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                del operation["responses"]["422"]  # FastAPI's own, which this API never answers
    return document
