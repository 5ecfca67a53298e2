"""``safs submit``: queues a job."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import DEFAULT_URL, Url


def submit(
    model: Annotated[str | None, typer.Option(help="Network: lenet5, resnet18, torchvision/resnet50 ...")] = None,
    dataset: Annotated[str | None, typer.Option(help="Data set: digits, mnist, cifar10 ...")] = None,
    sparsity: Annotated[float | None, typer.Option(help="Fraction of the weights to remove, such as 0.99.")] = None,
    method: Annotated[
        str | None, typer.Option(help="Pruning method: magnitude, greg1, rigl ... (`safs catalog methods`).")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Budget: quick, balanced or paper.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Dense weights (safetensors) to start from; uploaded.", exists=True)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    name: Annotated[str | None, typer.Option(help="A label for people.")] = None,
    spec: Annotated[
        str | None, typer.Option(help="Job spec in YAML, - for standard input; flags win over it.", metavar="FILE")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Show the progress until the job has ended.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the job, say how long it would take; queue nothing.")
    ] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Queues a job and prints its id.

    \b
    Examples:
      safs submit --model lenet5 --dataset digits --sparsity 0.99 --preset quick --follow
      safs submit --model resnet18 --dataset cifar10 --sparsity 0.99 --method greg1
      safs submit --spec job.yaml --seed 1
      safs submit --model torchvision/resnet18 --dataset cifar10 --sparsity 0.95 --weights dense.safetensors
    """
    from cli.spec_file import override, read_spec
    from cli.terminal import stdout
    from safs.client import Client

    flags = {
        "model.architecture": model,
        "data.dataset": dataset,
        "sparsity": sparsity,
        "prune.method": method,
        "preset": preset,
        "seed": seed,
        "name": name,
    }
    wanted = override(read_spec(spec) if spec else {}, flags)
    console = stdout()
    with Client(url) as client:
        if dry_run:
            from cli.tables import check_table, stages_table

            found = client.check(wanted, weights=weights)
            console.print(check_table(found))
            console.print()
            console.print(stages_table(found["estimate"]))
            return
        job = client.submit(wanted, weights=weights)
        console.print(job.id, soft_wrap=True)
        if follow:
            from cli.follow import follow as follow_job

            follow_job(job, console)
