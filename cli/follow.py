"""Follow a job of the service until it has ended."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.console import Console

from cli.progress_bars import job_progress
from safs.client import Event, RemoteJob
from safs.events.kinds import event_from
from safs.events.progress import plan_stages
from safs.spec.job import JobSpec


def follow(job: RemoteJob, console: Console) -> None:
    """Shows the job's progress, from its first event, until it has succeeded.

    Raises:
        JobFailed: the job failed or was cancelled.
        ServiceError: the service could not be reached for a long time.
    """
    with job_progress(plan_stages(JobSpec.model_validate(job.view["spec"])), console) as progress:

        def show(received: Event) -> None:
            event = event_from(received["kind"], received["data"])
            if event is not None:
                progress.update(event, seconds_since_epoch(received))

        job.wait(on_event=show)


def seconds_since_epoch(event: Mapping[str, Any]) -> float:
    """Time of the event, in seconds since the epoch."""
    return datetime.fromisoformat(event["at"]).timestamp()
