"""``safs submit``: queues a job."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.options import DEFAULT_URL, AsJson, Target, Url, expanded


def submit(
    model: Annotated[
        str | None, typer.Option(help="Network, such as lenet5, torchvision/resnet50, or your own: net.py:build.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Data set, such as digits, mnist, cifar10.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Your own data: an .npz, a .zip or .tar of pictures, or a folder; it is uploaded.", callback=expanded
        ),
    ] = None,
    sparsity: Annotated[
        list[float] | None,
        typer.Option(help="Fraction of the weights to remove, such as 0.99; repeat it for several sparsities."),
    ] = None,
    target: Target = None,
    method: Annotated[
        str | None,
        typer.Option(help="Pruning method, such as magnitude, greg1, rigl; `safs catalog methods` lists all."),
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Budget: quick, balanced (the default) or paper.")] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Dense weights to start from: safetensors, .pt, .pth or .ckpt.", callback=expanded),
    ] = None,
    input_shape: Annotated[
        str | None,
        typer.Option("--input", help="Channels and pixels a side that a network of your own takes, such as 3x32."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all random numbers; 0 by default.")] = None,
    name: Annotated[str | None, typer.Option(help="Label for people.")] = None,
    spec: Annotated[
        str | None, typer.Option(help="Job spec in YAML or JSON, - for standard input; options win.", metavar="FILE")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Show the progress until the job has ended.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the job and estimate its time; queue nothing.")
    ] = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Queues a job and prints its id.

    With --model FILE.py:NAME, the file runs on this machine, and NAME is a torch.nn.Module or a function that returns
    one. Its graph and weights are uploaded, its code is not.

    Ctrl-C in --follow ends the following, not the job.

    \b
    Examples:
      safs submit --model lenet5 --dataset digits --sparsity 0.99 --preset quick --follow
      safs submit --model resnet18 --dataset cifar10 --sparsity 0.99 --method greg1
      safs submit --model lenet5 --dataset digits --sparsity 0.9 --sparsity 0.95 --sparsity 0.99
      safs submit --model lenet5 --data parts.npz --sparsity 0.95 --dry-run
      safs submit --spec job.yaml --seed 1
      safs submit --model torchvision/resnet18 --dataset cifar10 --sparsity 0.95 --weights dense.safetensors
      safs submit --model net.py:build --input 3x32 --dataset cifar10 --sparsity 0.95
    """
    from cli.errors import CommandError
    from cli.own_network import load_network, names_a_file, parsed_input
    from cli.spec_file import one_or_several, override, parsed_target, read_spec
    from cli.terminal import print_json, stderr, stdout
    from safs.client import Client

    flags = {
        "model.architecture": None if names_a_file(model) else model,
        "data.dataset": dataset,
        "sparsity": one_or_several(sparsity),
        "target": parsed_target(target),
        "prune.method": method,
        "preset": preset,
        "seed": seed,
        "name": name,
    }
    if data is not None and dataset is not None:
        raise CommandError("--data and --dataset exclude each other; --data sends your own data")
    wanted = override(read_spec(spec) if spec else {}, flags)
    if model is not None and names_a_file(model):
        wanted["model"] = load_network(model)
    shape = parsed_input(input_shape)
    own: dict[str, Any] = {} if data is None else {"data": data}
    console = stdout()
    with Client(url) as client:
        if dry_run:
            from cli.tables import check_table, stages_table

            found = client.check(wanted, weights=weights, input=shape, **own)
            if as_json:
                print_json(found)
                return
            console.print(check_table(found))
            console.print()
            console.print_uncut(stages_table(found["estimate"]))
            return
        job = client.submit(wanted, weights=weights, input=shape, **own)
        if as_json:
            print_json(job.view)
        else:
            console.print(job.id, soft_wrap=True)
        # The id alone is on standard output, for scripts.
        stderr().print(f"its page: {url.rstrip('/')}/jobs/{job.id}", soft_wrap=True)
        if follow:
            from cli.follow import follow as follow_job
            from cli.follow import unless_interrupted

            with unless_interrupted(job):
                follow_job(job, stderr() if as_json else console)
