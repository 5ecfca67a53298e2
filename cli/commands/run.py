"""``safs run`` and ``safs verify``, which need no service."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.options import AsJson, OutputFolder, expanded


def run(
    spec: Annotated[str, typer.Argument(help="Job spec in YAML or JSON, - for standard input.", metavar="FILE")],
    output: OutputFolder = Path("result"),
    model: Annotated[
        str | None, typer.Option(help="A network of your own in place of the file's, such as net.py:build.")
    ] = None,
    in_flight: Annotated[
        int | None,
        typer.Option(min=1, help="Propose trials as if this many ran at once, to repeat the candidates of a service."),
    ] = None,
    device: Annotated[str, typer.Option(help="Device to train on, such as cpu, cuda, cuda:1.")] = "cpu",
    data_root: Annotated[
        Path | None,
        typer.Option(envvar="SAFS_DATA_ROOT", help="Folder of the data sets that are files.", callback=expanded),
    ] = None,
    dispatcher: Annotated[
        Literal["serial", "actors", "tune"],
        typer.Option(
            help="serial: in this process, one trial after the other. actors or tune: on a local Ray, in parallel."
        ),
    ] = "serial",
    reuse: Annotated[
        Path | None,
        typer.Option(help="Folder that caches the outputs of stages; by default nothing is cached.", callback=expanded),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Runs a job in this process, without a server and without Ray.

    Trials run one after the other. In the file, model.weights and model.network are paths, relative
    to the file. With --model FILE.py:NAME, NAME is a torch.nn.Module or a function that returns one.
    With --json, standard output is report.json, and the progress is on standard error.

    \b
    Examples:
      safs run job.yaml -o result
      safs run job.yaml -o other --reuse outputs
      safs run job.yaml --dispatcher tune
      safs run job.yaml --model net.py:build
      safs run job.yaml --json | jq .rows
      echo '{model: {architecture: lenet5}, data: {dataset: digits}, sparsity: 0.99}' | safs run - -o result
    """
    from tempfile import TemporaryDirectory

    from cli.own_network import capture_for, with_network
    from cli.spec_file import read_spec, with_local_weights
    from safs.spec.job import JobSpec

    with TemporaryDirectory(prefix="safs-network-") as folder:
        wanted = with_network(with_local_weights(read_spec(spec), spec), model, Path(folder))
        job = JobSpec.model_validate(wanted)
        from cli.local_run import run_locally  # torch takes seconds to import; a wrong spec is refused before that

        if model is not None:
            capture_for(job, model, data_root)
        run_locally(
            job,
            output,
            in_flight=in_flight,
            device=device,
            data_root=data_root,
            reuse=reuse,
            dispatcher=dispatcher,
            as_json=as_json,
        )


def verify(
    directory: Annotated[Path, typer.Argument(help="Folder of a result.", metavar="DIR", callback=expanded)],
    as_json: AsJson = False,
) -> None:
    """Checks a result folder: checksum, names, shapes, and the sparsity to the single weight.

    \b
    Examples:
      safs verify result
      safs verify result --json | jq .sparsity.live
    """
    from cli.tables import verification_table
    from cli.terminal import print_json, stdout
    from safs.checkpoint import verify as verify_folder
    from safs.json_form import to_json

    verification = verify_folder(directory)
    if as_json:
        print_json(to_json(verification))
    else:
        stdout().print(verification_table(verification))
