"""``python -m safs.deploy``: export a result (see ``in_subprocess``).

Standard input holds an ``ExportRequest`` as JSON, standard output gets an ``ExportResponse``.
"""

import contextlib
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import torch

from safs.deploy.export import export
from safs.deploy.formats import FORMATS
from safs.deploy.in_subprocess import ExportRequest, ExportResponse
from safs.errors import OutputError, SafsError


def main() -> None:
    """Answer the request on standard input. Exporters print; their lines go to standard error."""
    request = ExportRequest.model_validate_json(sys.stdin.buffer.read())
    torch.set_num_threads(1)
    response = ExportResponse()
    with contextlib.redirect_stdout(sys.stderr):
        try:
            _write(request)
        except SafsError as error:
            response = ExportResponse(code=error.code, message=error.message)
        except OSError as error:
            reason = f"{request.target.parent} cannot be written: {error.strerror or error}"
            response = ExportResponse(code=OutputError.code, message=reason)
    sys.stdout.write(response.model_dump_json())


def _write(request: ExportRequest) -> None:
    entry = FORMATS[request.format]
    with TemporaryDirectory(dir=request.target.parent) as folder:
        export(request.folder, request.format, folder, data_root=request.data_root)
        served = [Path(folder) / name for name in entry.files]
        if len(served) == 1:
            served[0].replace(request.target)
        else:
            _zip(served, request.target)


def _zip(files: list[Path], target: Path) -> None:
    """Write a zip whose bytes depend on the names and contents of ``files`` alone."""
    with ZipFile(target, "w", ZIP_DEFLATED) as archive:
        for file in files:
            archive.writestr(ZipInfo(file.name), file.read_bytes(), ZIP_DEFLATED)


if __name__ == "__main__":
    main()
