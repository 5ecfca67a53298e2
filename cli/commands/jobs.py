"""Commands about the jobs of a running service."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import DEFAULT_URL, JobId, OutputFolder, Url


def jobs(
    state: Annotated[str | None, typer.Option(help="Only jobs in this state: queued, running ...")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Only so many, the newest first.")] = 20,
    tree: Annotated[bool, typer.Option("--tree", help="Put jobs beneath those whose stages they reuse.")] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Lists jobs, the newest first.

    \b
    Examples:
      safs jobs
      safs jobs --state failed --limit 5
      safs jobs --tree
    """
    from itertools import islice

    from cli.tables import jobs_table, jobs_tree
    from cli.terminal import stdout
    from safs.client import Client

    with Client(url) as client:
        found = list(islice(client.jobs(state=state), limit))
    table = jobs_tree if tree else jobs_table
    stdout().print(table(found) if found else "no jobs")


def show(job: JobId, url: Url = DEFAULT_URL) -> None:
    """Shows a job: how it prunes, progress, why it failed, what it gained.

    \b
    Examples:
      safs show job_01kb2v9zq3n8f4x7c5m2d
    """
    from cli.tables import comparison_table, job_table
    from cli.terminal import stdout
    from safs.client import Client
    from safs.report import comparison_rows, spent

    console = stdout()
    with Client(url) as client:
        found = client.job(job)
        console.print(job_table(found))
        if found.state == "succeeded":
            report = found.report()
            console.print()
            console.print(comparison_table(comparison_rows(report)))
            if took := spent(report):
                console.print(took, soft_wrap=True)
            for note in report["notes"]:
                console.print(f"note: {note}", markup=False, soft_wrap=True)


def watch(job: JobId, url: Url = DEFAULT_URL) -> None:
    """Follows a job with progress bars until it has ended.

    Ctrl-C stops the watching, not the job.

    \b
    Examples:
      safs watch job_01kb2v9zq3n8f4x7c5m2d
    """
    from cli.follow import follow
    from cli.terminal import stdout
    from safs.client import Client

    with Client(url) as client:
        follow(client.job(job), stdout())


def cancel(job: JobId, url: Url = DEFAULT_URL) -> None:
    """Asks a job to stop; its finished trials are kept.

    \b
    Examples:
      safs cancel job_01kb2v9zq3n8f4x7c5m2d
    """
    from cli.terminal import stdout
    from safs.client import Client

    with Client(url) as client:
        found = client.job(job).cancel()
        stdout().print(f"{found.id} is {found.state}", soft_wrap=True)


def download(job: JobId, output: OutputFolder = Path("result"), url: Url = DEFAULT_URL) -> None:
    """Fetches a result: checkpoint, config, report, picture.

    \b
    Examples:
      safs download job_01kb2v9zq3n8f4x7c5m2d -o lenet5-99
    """
    from cli.terminal import stdout
    from safs.client import Client

    with Client(url) as client:
        folder = client.job(job).download(output)
        stdout().print(f"{folder} is complete; check it with: safs verify {folder}", soft_wrap=True)
