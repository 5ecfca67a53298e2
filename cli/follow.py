"""Follow a job of the service until it has ended."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from rich.console import Console

from cli.progress_bars import job_progress
from cli.terminal import stderr
from safs.client import Event, RemoteJob
from safs.events.kinds import event_from
from safs.events.plan import plan_stages
from safs.spec.job import JobSpec

INTERRUPTED = 130
"""Exit code of a command that was ended by Ctrl-C, as in shells."""


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


def print_events(job: RemoteJob) -> None:
    """Prints each event of the job as a line of JSON; raises as ``follow``."""
    job.wait(on_event=lambda event: print(json.dumps(event), flush=True))


@contextmanager
def unless_interrupted(job: RemoteJob) -> Iterator[None]:
    """Says that the job goes on if Ctrl-C ends the block, and exits with ``INTERRUPTED``."""
    try:
        yield
    except KeyboardInterrupt:
        stderr().print(
            f"the job goes on; `safs watch {job.id}` follows it again, `safs cancel {job.id}` stops it", soft_wrap=True
        )
        sys.exit(INTERRUPTED)


def seconds_since_epoch(event: Mapping[str, Any]) -> float:
    """Time of the event, in seconds since the epoch."""
    return datetime.fromisoformat(event["at"]).timestamp()
