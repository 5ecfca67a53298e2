"""``safs demo``: a demonstration of the whole service on bundled data."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import expanded


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the result.", file_okay=False, callback=expanded)
    ] = Path("demo-output"),
) -> None:
    """Demonstrates the whole service in a few minutes.

    Starts a service, submits LeNet-5 at 99% sparsity, follows the job, verifies the result, prints the accuracies, and
    stops the service. It uses a temporary home and a free port, so it touches no other service.

    \b
    Examples:
      safs demo
      safs demo -o first-result
    """
    from cli.demonstration import demonstrate

    demonstrate(output)
