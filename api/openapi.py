"""The OpenAPI document, completed with API keys and problem responses, and with defaults in words."""

import json
from typing import Any

from fastapi import FastAPI

from api.gate.access import PUBLIC_PATHS, needed_scope
from api.problems import Problem

KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": (
        "An API key, created with `safs keys create`. Before the first key is created, requests from the service's own "
        "machine need none."
    ),
}


class DocumentedApp(FastAPI):
    """A FastAPI app whose document states the required scopes, and problems in place of FastAPI's own errors.

    Schemas state defaults in their descriptions only. Generated clients send each ``default`` of a schema, and types
    for TypeScript require a property with a ``default``.
    """

    def openapi(self) -> dict[str, Any]:
        """The document, generated at the first call and then cached."""
        if self.openapi_schema is None:
            self.openapi_schema = _with_defaults_in_words(_with_problems(super().openapi()))
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
            if path not in PUBLIC_PATHS:
                operation["security"] = [{"key": []}]
                operation["description"] += f"\n\nNeeds a key with the scope `{needed_scope(method.upper(), path)}`."
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                del operation["responses"]["422"]  # FastAPI's own error, which this API never returns
    return document


def _with_defaults_in_words(document: dict[str, Any]) -> dict[str, Any]:
    for schema in document["components"]["schemas"].values():
        for field in schema.get("properties", {}).values():
            default = field.pop("default", None)
            if isinstance(default, str | int | float):
                field["description"] = f"{field.get('description', '')}\n\nDefault: `{json.dumps(default)}`.".lstrip()
    return document
