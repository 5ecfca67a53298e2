"""``safs demo``: the whole service at work, on data that comes with it."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the result.", file_okay=False)] = Path(
        "demo-output"
    ),
) -> None:
    """Shows the whole service at work in a few minutes.

    Starts a service, sends it LeNet-5 to be made 99% sparse, follows the job, verifies the result, prints what it
    gained, and stops the service. It uses a temporary home and a free port, so nothing of your own is touched.

    \b
    Examples:
      safs demo
      safs demo -o first-result
    """
    from cli.demonstration import demonstrate

    demonstrate(output)
