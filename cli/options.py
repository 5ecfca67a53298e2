"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, TypeVar

import typer

MaybePath = TypeVar("MaybePath", Path, Path | None)


def expanded(path: MaybePath) -> MaybePath:
    """The path with the home folder in place of ``~``, which shells leave alone in ``--output=~/result``."""
    return path if path is None else path.expanduser()


Url = Annotated[str, typer.Option(envvar="SAFS_URL", help="Address of the service.", metavar="URL")]
DEFAULT_URL = "http://127.0.0.1:8000"

JobId = Annotated[str, typer.Argument(help="Id of the job, as `safs submit` prints it.", metavar="JOB")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Home = Annotated[
    Path | None,
    typer.Option(
        envvar="SAFS_HOME",
        help="Folder of the database, the artifacts and the logs; ~/.local/share/safs by default.",
        file_okay=False,
        callback=expanded,
    ),
]
OutputFolder = Annotated[
    Path,
    typer.Option(
        "--output", "-o", help="Folder for the result; created if missing.", file_okay=False, callback=expanded
    ),
]
PointSparsity = Annotated[
    float | None,
    typer.Option(
        "--sparsity", help="Point of the result's front, by its sparsity. By default the recommended one.", min=0, max=1
    ),
]
Target = Annotated[
    str | None,
    typer.Option(
        help="Cost in place of a sparsity: flops=0.3, latency=0.5 (fractions of the dense network's) or bytes=N.",
        metavar="COST=VALUE",
    ),
]
