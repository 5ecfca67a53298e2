"""Every endpoint, as the OpenAPI document lists them: a new one is tested by being there."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from fastapi import FastAPI

PARTS = {"job_id": "job_missing", "upload_id": "upload_missing", "stage": "tune", "number": "0", "kind": "models"}


class Endpoint(NamedTuple):
    """An operation of the document."""

    method: str
    path: str
    document: dict[str, Any]

    @property
    def is_open(self) -> bool:
        """True if the endpoint is documented to need no key."""
        return "security" not in self.document

    def address(self, parts: Mapping[str, str] = PARTS) -> str:
        """Its path with its parameters filled in."""
        return self.path.format(**{**PARTS, **parts})


def endpoints(app: FastAPI) -> list[Endpoint]:
    """All of them."""
    found = [
        Endpoint(method.upper(), path, operation)
        for path, operations in app.openapi()["paths"].items()
        for method, operation in operations.items()
    ]
    assert len(found) > 15
    return found
