"""``safs run`` and ``safs verify``: what needs no service."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import OutputFolder


def run(
    spec: Annotated[str, typer.Argument(help="Job spec in YAML, - for standard input.", metavar="FILE")],
    output: OutputFolder = Path("result"),
    in_flight: Annotated[
        int | None,
        typer.Option(min=1, help="Propose trials as if so many ran at once, to repeat a service's candidates."),
    ] = None,
    device: Annotated[str, typer.Option(help="Where to train: cpu, cuda, cuda:1 ...")] = "cpu",
    data_root: Annotated[
        Path | None, typer.Option(envvar="SAFS_DATA_ROOT", help="Folder of the data sets that bring files.")
    ] = None,
    reuse: Annotated[
        Path | None,
        typer.Option(help="Folder to keep what stages make, and to take it from where an earlier run made the same."),
    ] = None,
) -> None:
    """Runs a job in this process, without server and Ray.

    One trial runs after the other.

    \b
    Examples:
      safs run job.yaml -o result
      safs run job.yaml -o other --reuse outputs
      echo '{model: {architecture: lenet5}, data: {dataset: digits}, sparsity: 0.99}' | safs run - -o result
    """
    from cli.spec_file import read_spec
    from safs.spec.job import JobSpec

    job = JobSpec.model_validate(read_spec(spec))
    from cli.local_run import run_locally  # torch takes seconds to import: a wrong spec is told before

    run_locally(job, output, in_flight=in_flight, device=device, data_root=data_root, reuse=reuse)


def verify(directory: Annotated[Path, typer.Argument(help="Folder of a result.", metavar="DIR")]) -> None:
    """Checks a result from its bytes on disk.

    Hash, names, shapes, and the sparsity to the single weight.

    \b
    Examples:
      safs verify result
    """
    from cli.tables import verification_table
    from cli.terminal import stdout
    from safs.checkpoint import verify as verify_folder

    stdout().print(verification_table(verify_folder(directory)))
