"""Following a job of the service until it has ended."""

from rich.console import Console

from cli.events import read_event, seconds_of
from cli.progress_bars import job_progress
from safs.client import Event, RemoteJob
from safs.events.progress import plan_stages
from safs.spec.job import JobSpec


def follow(job: RemoteJob, console: Console) -> None:
    """Shows the job's progress, from its first event on, until it has succeeded.

    Raises:
        JobFailed: it failed or was cancelled.
        ServiceError: the service could not be reached for a long time.
    """
    with job_progress(plan_stages(JobSpec.model_validate(job.view["spec"])), console) as progress:

        def show(received: Event) -> None:
            event = read_event(received["kind"], received["data"])
            if event is not None:
                progress.tell(event, seconds_of(received))

        job.wait(on_event=show)
