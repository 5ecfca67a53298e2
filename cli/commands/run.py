"""``safs run`` and ``safs verify``, which need no service."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.options import AsJson, OutputFolder, Target, expanded


def run(
    spec: Annotated[
        str | None, typer.Argument(help="Job spec in YAML or JSON, - for standard input; options win.", metavar="FILE")
    ] = None,
    output: OutputFolder = Path("result"),
    model: Annotated[
        str | None, typer.Option(help="Network, such as lenet5, or one of your own, such as net.py:build.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Your own data: an .npz, a .zip or .tar of pictures, or a folder.", callback=expanded),
    ] = None,
    sparsity: Annotated[
        list[float] | None,
        typer.Option(help="Fraction of the weights to remove, such as 0.99; repeat it for several sparsities."),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Dense weights to start from: safetensors, .pt, .pth or .ckpt.", callback=expanded),
    ] = None,
    target: Target = None,
    preset: Annotated[str | None, typer.Option(help="Budget: quick, balanced (the default) or paper.")] = None,
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

    Trials run one after the other. In the file, model.weights, model.network and data.upload are paths,
    relative to the file. Weights of torch.save (.pt, .pth, .ckpt) are converted first, without running what they
    hold. With --model FILE.py:NAME, NAME is a torch.nn.Module or a function that returns one.
    With --json, standard output is report.json, and the progress is on standard error.

    \b
    Examples:
      safs run job.yaml -o result
      safs run --model lenet5 --data parts.npz --sparsity 0.95 --preset quick -o result
      safs run job.yaml -o other --reuse outputs
      safs run job.yaml --dispatcher tune
      safs run job.yaml --model net.py:build
      safs run job.yaml --json | jq .rows
      echo '{model: {architecture: lenet5}, data: {dataset: digits}, sparsity: 0.99}' | safs run - -o result
    """
    from tempfile import TemporaryDirectory

    from cli.own_network import capture_for, with_network, with_readable_weights
    from cli.spec_file import one_or_several, override, parsed_target, read_spec, with_local_files
    from safs.spec.job import JobSpec

    flags = {
        "data.dataset": None if data is None else "upload",
        "data.upload": None if data is None else str(data),
        "model.weights": None if weights is None else str(weights),
        "sparsity": one_or_several(sparsity),
        "target": parsed_target(target),
        "preset": preset,
    }
    given = override(with_local_files(read_spec(spec), spec) if spec else {}, flags)
    with TemporaryDirectory(prefix="safs-network-") as folder, with_readable_weights(given) as readable:
        job = JobSpec.model_validate(with_network(readable, model, Path(folder)))
        from cli.local_run import (  # torch takes seconds to import; a wrong spec is refused first
            opened_data,
            run_locally,
        )

        with opened_data(job, data_root) as root:
            if model is not None:
                capture_for(job, model, root)
            run_locally(
                job,
                output,
                in_flight=in_flight,
                device=device,
                data_root=root,
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
