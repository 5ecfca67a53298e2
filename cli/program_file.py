"""Reads a ``.pt2`` of the user's own on the user's machine. A service never does, since a ``.pt2`` can hold code."""

from pathlib import Path
from typing import TYPE_CHECKING

from cli.errors import CommandError

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def read_program(path: Path) -> "ExportedProgram":
    """The program in a file of ``torch.export.save``.

    Raises:
        CommandError: the file does not exist or is no such file.
    """
    import torch

    if not path.is_file():
        raise CommandError(f"there is no file {path}")
    try:
        return torch.export.load(path)
    except Exception as error:  # reading a damaged archive can raise anything
        raise CommandError(f"{path} is no program of torch.export: {str(error).partition(chr(10))[0]}") from error
