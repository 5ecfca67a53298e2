"""Hooks for schemathesis: existing names and a valid file. Half of the bodies stay as drawn."""

import json
from typing import Any

import schemathesis
from pydantic import ValidationError
from schemathesis import HookContext

from api.schemas.jobs import JobRequest
from safs.errors import SafsError

WEIGHTS_HEADER = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
WEIGHTS = len(WEIGHTS_HEADER).to_bytes(8, "little") + WEIGHTS_HEADER + b"\x00\x00\x80\x3f" * 2
JOB = {"model": {"architecture": "mlp"}, "data": {"dataset": "digits"}, "sparsity": 0.5}


@schemathesis.hook
def map_body(context: HookContext, body: Any) -> Any:
    """The body as drawn, or one that the service accepts."""
    keep = len(repr(body)) % 2
    if context.operation.label == "POST /v1/jobs" and not keep and _well_formed(body):
        return JOB
    if context.operation.label == "POST /v1/uploads" and not keep:
        return WEIGHTS
    return body


def _well_formed(body: Any) -> bool:
    """True if the case is meant to be accepted; bodies that are wrong on purpose are left alone."""
    try:
        JobRequest.model_validate(body)
    except (ValidationError, SafsError):
        return False
    return True
