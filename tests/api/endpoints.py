"""The endpoints of the OpenAPI document; tests over all of them include new ones automatically."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from fastapi import FastAPI

PARTS = {
    "job_id": "job_missing",
    "upload_id": "upload_missing",
    "incoming_id": "incoming_missing",
    "stage": "tune",
    "number": "0",
    "kind": "models",
    "prefix": "00000000",
    "format": "onnx",
}


class Endpoint(NamedTuple):
    """An operation of the OpenAPI document."""

    method: str
    path: str
    document: dict[str, Any]

    @property
    def is_open(self) -> bool:
        """True if the endpoint is documented to need no key."""
        return "security" not in self.document

    def address(self, parts: Mapping[str, str] = PARTS) -> str:
        """The path with its parameters filled in."""
        return self.path.format(**{**PARTS, **parts})


def endpoints(app: FastAPI) -> list[Endpoint]:
    """All endpoints of the app's OpenAPI document."""
    found = [
        Endpoint(method.upper(), path, operation)
        for path, operations in app.openapi()["paths"].items()
        for method, operation in operations.items()
    ]
    assert len(found) > 15
    return found
