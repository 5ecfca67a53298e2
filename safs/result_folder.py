"""The files of a result folder: their names in the REST API, on disk, and their media types.

Imports no torch, so the API, the command and the client can read it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class ResultFile:
    """A file that every succeeded job has."""

    filename: str
    media_type: str


CHECKPOINT = ResultFile("checkpoint.safetensors", "application/octet-stream")
"""Weights under the model's own parameter names; pruned weights are exactly zero."""
CONFIG = ResultFile("config.json", "application/json")
"""Everything that is needed to rebuild the network and to repeat the job."""
REPORT = ResultFile("report.json", "application/json")
"""The comparison, all trials, the learning curves, the time of each stage."""
PICTURE = ResultFile("report.png", "image/png")
"""The report as a picture."""

RESULT_FILES: Mapping[str, ResultFile] = MappingProxyType(
    {"checkpoint": CHECKPOINT, "config": CONFIG, "report": REPORT, "picture": PICTURE}
)
"""Artifact name, as in ``GET /v1/jobs/{id}/checkpoint`` -> its file."""
