"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Url = Annotated[str, typer.Option(envvar="SAFS_URL", help="Address of the service.", metavar="URL")]
DEFAULT_URL = "http://127.0.0.1:8000"

JobId = Annotated[str, typer.Argument(help="The job's id, as `safs submit` printed it.", metavar="JOB")]
Home = Annotated[
    Path | None,
    typer.Option(envvar="SAFS_HOME", help="Folder of the database and the artifacts.", file_okay=False),
]
OutputFolder = Annotated[
    Path, typer.Option("--output", "-o", help="Folder for the result; made if it is not there.", file_okay=False)
]
