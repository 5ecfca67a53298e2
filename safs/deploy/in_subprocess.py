"""An export made in a process of its own, for a service. Imports no torch.

The process takes the memory of a network and runs exporters of other packages; it can neither hang nor kill the server.
"""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import BaseModel

from safs.errors import ExportError, MissingExtraError, OutputError, SafsError

LIMIT_S = 600.0


class ExportRequest(BaseModel):
    """The input of the process."""

    folder: Path
    """The result folder."""
    format: str
    target: Path
    """The file to write: the only file of the format, or a zip of its files."""
    data_root: Path | None


class ExportResponse(BaseModel):
    """The output of the process: an error, or nothing."""

    code: str | None = None
    message: str = ""


def export_in_subprocess(
    files: Mapping[str, Path], format: str, target: Path, *, data_root: Path | None, limit_s: float = LIMIT_S
) -> None:
    """Write the result that consists of ``files`` to the file ``target``, as ``FORMATS[format].download`` names it.

    Args:
        files: file name in the result folder -> its content.
        data_root: folder of the data sets that are files.

    Raises:
        MissingExtraError: the format needs a package that is not installed.
        ExportError: the network cannot be exported, or the process failed or took longer than ``limit_s``.
        OutputError: the disk is full.
    """
    with TemporaryDirectory(prefix="safs-export-") as folder:
        for name, content in files.items():
            (Path(folder) / name).symlink_to(content.absolute())
        request = ExportRequest(folder=Path(folder), format=format, target=target, data_root=data_root)
        command = [sys.executable, "-P", "-m", "safs.deploy"]  # -P: the working directory may hold a numpy.py
        body = request.model_dump_json().encode()
        try:
            done = subprocess.run(command, input=body, capture_output=True, timeout=limit_s, check=True)
            response = ExportResponse.model_validate_json(done.stdout)
        except subprocess.TimeoutExpired as error:
            raise ExportError(f"the export to {format} took longer than {limit_s:g} s and was stopped") from error
        except subprocess.CalledProcessError as error:
            last = error.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            raise ExportError(f"the process of the export to {format} ended with {error.returncode}: {last}") from error
    if response.code is not None:
        raise _error(response)


def _error(response: ExportResponse) -> SafsError:
    kinds = {kind.code: kind for kind in (MissingExtraError, OutputError)}
    kind = kinds.get(response.code or "", ExportError)
    error = kind.__new__(kind)
    SafsError.__init__(error, response.message)
    return error
