"""``safs convert``: a program of ``torch.export`` as a network that a job can take."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import AsJson, expanded


def convert(
    program: Annotated[
        Path, typer.Argument(help="File of torch.export.save (.pt2).", metavar="FILE", callback=expanded)
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write.", dir_okay=False, callback=expanded)
    ] = Path("network.safetensors"),
    as_json: AsJson = False,
) -> None:
    """Converts a .pt2 file to a network that `model.network` of a job takes.

    The program must have a dynamic batch. Loading a .pt2 can run code that is in it, so convert only files of your
    own. A service never loads one.

    \b
    Examples:
      safs convert net.pt2
      safs convert net.pt2 -o network.safetensors
    """
    from cli.program_file import read_program
    from cli.terminal import print_json, stdout
    from safs.models.declared.programs import captured_from_program

    written = captured_from_program(read_program(program)).save(output)
    if as_json:
        print_json({"network": str(written)})
        return
    stdout().print(f"{written} is complete; a job takes it as model.network", soft_wrap=True)
