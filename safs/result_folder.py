"""The files of a result folder: their names in the REST API, on disk, and their media types; and a probe of the folder.

Imports no torch, so the API, the command and the client can read it.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from types import MappingProxyType

from safs.errors import CheckpointError, OutputError


@dataclass(frozen=True, slots=True)
class ResultFile:
    """A file of a succeeded job."""

    filename: str
    media_type: str
    optional: bool = False
    """True if only some results have it."""


CHECKPOINT = ResultFile("checkpoint.safetensors", "application/octet-stream")
"""Weights under the model's own parameter names; pruned weights are exactly zero."""
COMPACT = ResultFile("checkpoint.compact.safetensors", "application/octet-stream")
"""The same weights in the compact form (docs/formats.md). A folder may have it in place of the checkpoint."""
CONFIG = ResultFile("config.json", "application/json")
"""Everything that is needed to rebuild the network and to repeat the job."""
REPORT = ResultFile("report.json", "application/json")
"""The comparison, all trials, the learning curves, the time of each stage."""
PICTURE = ResultFile("report.png", "image/png")
"""The report as a picture."""
REPORT_PAGE = "report.html"
"""Name of the job's page as one file. A service makes it; a local run has none."""
NETWORK = ResultFile("network.json", "application/json", optional=True)
"""The graph of a declared network, from which ``safs.load`` rebuilds it. Networks that are built by name have none."""

RESULT_FILES: Mapping[str, ResultFile] = MappingProxyType(
    {"checkpoint": CHECKPOINT, "config": CONFIG, "report": REPORT, "picture": PICTURE, "network": NETWORK}
)
"""Artifact name, as in ``GET /v1/jobs/{id}/checkpoint`` -> its file."""

_POINT_PREFIX = "sparsity-"
POINT_FOLDERS = f"{_POINT_PREFIX}*"
"""Pattern of the folders of a front's points. Each holds the checkpoint and the config of one sparsity."""
POINT_PARTS = ("checkpoint", "config")
"""Artifacts that each point of a front has of its own."""


def point_folder(sparsity: float) -> str:
    """Name of the folder of a front's point.

    >>> point_folder(0.95)
    'sparsity-0.95'
    """
    return f"{_POINT_PREFIX}{sparsity}"


def folder_of_point(directory: Path, sparsity: float | None) -> Path:
    """The folder of one point of the result in ``directory``, which is that folder itself for its recommended point.

    Args:
        sparsity: sparsity of the point; None is the recommended one.

    Raises:
        CheckpointError: the result has no such point; the message names those that it has.
    """
    if sparsity is None:
        return directory
    if (own := directory / point_folder(sparsity)).is_dir():
        return own
    try:
        config = json.loads((directory / CONFIG.filename).read_bytes())
        recommended = config.get("sparsity", config["spec"].get("sparsity"))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{directory} is no result folder: it has no readable {CONFIG.filename}.") from error
    if sparsity == recommended:
        return directory
    points = [path.name.removeprefix(_POINT_PREFIX) for path in directory.glob(POINT_FOLDERS) if path.is_dir()]
    known = ", ".join(sorted(points)) if points else recommended
    raise CheckpointError(f"{directory} has no point at sparsity {sparsity}; it has {known}.")


def point_part(part: str, sparsity: float) -> str:
    """Name of the artifact that is ``part`` of a front's point.

    >>> point_part("checkpoint", 0.95)
    'checkpoint@0.95'
    """
    return f"{part}@{sparsity}"


def check_writable(folder: Path, size_bytes: int) -> None:
    """Check that a result can be written to ``folder``, and leave nothing behind.

    Args:
        folder: does not have to exist.
        size_bytes: space that the result takes on the disk.

    Raises:
        OutputError: the folder cannot be created or written, or its disk is too full.
    """
    try:
        missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with TemporaryFile(dir=folder) as file:
                file.write(b"0")
            free = shutil.disk_usage(folder).free
        finally:
            for parent in missing:
                parent.rmdir()
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}. Choose another folder.") from error
    for result_file in RESULT_FILES.values():
        if (folder / result_file.filename).is_dir():
            raise OutputError(f"{folder / result_file.filename} is a folder. Remove it, or choose another folder.")
    if free < size_bytes:
        raise OutputError(
            f"{free // 10**6:,} MB are free in {folder}, and the result takes about {size_bytes // 10**6:,} MB. Free "
            "some space, or choose a folder on another disk."
        )
