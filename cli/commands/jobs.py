"""Commands about the jobs of a running service."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import DEFAULT_URL, AsJson, JobId, OutputFolder, PointSparsity, Url

if TYPE_CHECKING:
    from safs.client import RemoteJob


def jobs(
    state: Annotated[str | None, typer.Option(help="List only jobs in this state, such as queued or running.")] = None,
    owner: Annotated[
        str | None, typer.Option(help="List only jobs of this owner; those of others need an admin key.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Largest number of jobs to list.")] = 20,
    tree: Annotated[bool, typer.Option("--tree", help="List jobs beneath those whose stages they reuse.")] = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Lists jobs, the newest first.

    A narrow terminal shows fewer columns, and ids always whole.

    \b
    Examples:
      safs jobs
      safs jobs --state failed --limit 5
      safs jobs --tree
      safs jobs --json | jq -r '.[].id'
    """
    from itertools import islice

    from cli.tables import jobs_table, jobs_tree
    from cli.terminal import print_json, stdout
    from safs.client import Client

    with Client(url) as client:
        found = list(islice(client.jobs(state=state, owner=owner), limit))
    console = stdout()
    if as_json:
        print_json([job.view for job in found])
    elif not found:
        console.print("no jobs")
    else:
        console.print_uncut(jobs_tree(found) if tree else jobs_table(found, console.width))


def show(job: JobId, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Shows a job: how it prunes, its progress, its result, or why it failed.

    \b
    Examples:
      safs show job_01kb2v9zq3n8f4x7c5m2d
      safs show job_01kb2v9zq3n8f4x7c5m2d --json | jq .state
    """
    from cli.tables import comparison_table, front_table, job_table
    from cli.terminal import print_json, stdout
    from safs.client import Client
    from safs.report import comparison_rows, deployed, front_rows, spent

    console = stdout()
    with Client(url) as client:
        found = client.job(job)
        if as_json:
            print_json(found.view)
            return
        console.print(job_table(found))
        if found.state == "succeeded":
            report = found.report()
            console.print()
            console.print_uncut(comparison_table(comparison_rows(report)))
            if points := front_rows(report):
                console.print()
                console.print_uncut(front_table(points))
            for line in deployed(report):
                console.print(line, soft_wrap=True)
            if took := spent(report):
                console.print(took, soft_wrap=True)
            for note in report["notes"]:
                console.print(f"note: {note}", soft_wrap=True)


def watch(job: JobId, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Follows a job with progress bars until it has ended.

    Ctrl-C ends the watching, not the job. With --json, each event is printed as one line of JSON.

    \b
    Examples:
      safs watch job_01kb2v9zq3n8f4x7c5m2d
      safs watch job_01kb2v9zq3n8f4x7c5m2d --json | jq .kind
    """
    from cli.follow import follow, print_events, unless_interrupted
    from cli.terminal import stdout
    from safs.client import Client

    with Client(url) as client:
        found = client.job(job)
        with unless_interrupted(found):
            if as_json:
                print_events(found)
            else:
                follow(found, stdout())


def cancel(job: JobId, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Cancels a job. A running job stops soon; its finished trials are kept.

    \b
    Examples:
      safs cancel job_01kb2v9zq3n8f4x7c5m2d
    """
    from cli.terminal import print_json, stdout
    from safs.client import Client

    with Client(url) as client:
        found = client.job(job).cancel()
        if as_json:
            print_json(found.view)
        else:
            stdout().print(f"{found.id} is {found.state}", soft_wrap=True)


def download(
    job: JobId,
    output: OutputFolder = Path("result"),
    format: Annotated[
        str | None,
        typer.Option("--format", "-f", help="Download an export instead: compact, onnx, pt2, torch or c."),
    ] = None,
    sparsity: PointSparsity = None,
    force: Annotated[bool, typer.Option("--force", help="Replace another job's result in the folder.")] = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Downloads a result: checkpoint, config, report and picture, or an export of it.

    \b
    Examples:
      safs download job_01kb2v9zq3n8f4x7c5m2d -o lenet5-99
      safs download job_01kb2v9zq3n8f4x7c5m2d -o deploy --format onnx
      safs download job_01kb2v9zq3n8f4x7c5m2d -o lenet5-95 --sparsity 0.95
      safs download job_01kb2v9zq3n8f4x7c5m2d -o lenet5-99 --force
    """
    from cli.terminal import print_json, stdout
    from safs.client import Client
    from safs.deploy.formats import FORMATS
    from safs.result_folder import RESULT_FILES

    with Client(url) as client:
        found = client.job(job)
        if not force:
            _refuse_other_result(found, output, sparsity)
        if format is not None:
            folder, entry = found.export(format, output, sparsity=sparsity), FORMATS[format]
            if as_json:
                print_json({"format": format, "files": [str(folder / name) for name in entry.files]})
            else:
                names = ", ".join(str(folder / name) for name in entry.files)
                stdout().print(f"{names}: the result as {format}", soft_wrap=True)
            return
        folder = found.download(output, sparsity=sparsity)
    if as_json:
        paths = {part: folder / file.filename for part, file in RESULT_FILES.items()}
        print_json({part: str(path) for part, path in paths.items() if path.exists()})
    else:
        stdout().print(f"{folder} is complete; check it with: safs verify {folder}", soft_wrap=True)


def _refuse_other_result(job: "RemoteJob", folder: Path, sparsity: float | None) -> None:
    """Raises CommandError if ``folder`` has result files that are not this job's, or of another point of its front."""
    import json

    from cli.errors import CommandError
    from safs.result_folder import RESULT_FILES

    present = [file.filename for file in RESULT_FILES.values() if (folder / file.filename).exists()]
    if not present:
        return
    config = folder / RESULT_FILES["config"].filename
    try:
        is_same = json.loads(config.read_bytes()) == job.config(sparsity=sparsity)
    except (FileNotFoundError, ValueError):
        is_same = False
    if not is_same:
        raise CommandError(
            f"{folder} holds files that are not of job {job.id} ({', '.join(present)}). Choose another folder with "
            "--output, or replace them with --force"
        )
