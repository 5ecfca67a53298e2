"""``safs export``, which needs no service."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.options import AsJson, OutputFolder, PointSparsity, expanded
from safs.deploy.formats import FORMATS

Format = StrEnum("Format", {name: name for name in FORMATS})  # type: ignore[misc]  # typer lists its members in the help


def export(
    directory: Annotated[Path, typer.Argument(help="Folder of a result.", metavar="DIR", callback=expanded)],
    format: Annotated[Format, typer.Option("--format", "-f", help="Format to write; docs/formats.md describes each.")],
    output: OutputFolder = Path("export"),
    sparsity: PointSparsity = None,
    with_normalisation: Annotated[
        bool, typer.Option("--with-normalisation", help="Let the network take raw pixels (onnx and pt2).")
    ] = False,
    bfloat16: Annotated[
        bool, typer.Option("--bfloat16", help="Round live weights to bfloat16 (compact). They are kept exactly else.")
    ] = False,
    data_root: Annotated[
        Path | None,
        typer.Option(envvar="SAFS_DATA_ROOT", help="Folder of the data sets that are files.", callback=expanded),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Writes a result in a form that runs elsewhere, and checks that it computes the same.

    The outputs are compared on the job's validation split, or on random images where its data set is not there.

    \b
    Examples:
      safs export result --format onnx -o deploy
      safs export result --format compact --bfloat16 -o small
      safs export result --format c -o lenet5-95 --sparsity 0.95
      safs export result --format torch -o plain --json
    """
    from cli.tables import export_table
    from cli.terminal import print_json, stdout
    from safs.deploy.export import ExportOptions
    from safs.deploy.export import export as write
    from safs.json_form import to_json

    options = ExportOptions(with_normalisation=with_normalisation, bfloat16=bfloat16)
    written = write(directory, format.value, output, options=options, sparsity=sparsity, data_root=data_root)
    if as_json:
        print_json(to_json(written) | {"files": [str(file) for file in written.files]})
    else:
        stdout().print(export_table(written))
