"""Requests of people and programs that wait for jobs. This is a locust file; locust runs it in another process.

Response times go to the file that ``SAFS_LOAD_TIMES`` names, one line for each request, since locust rounds its own
figures to two digits.
"""

import os
import random
from time import perf_counter
from typing import Any

from locust import HttpUser, events, task

AUTHORIZATION = f"Bearer {os.environ['SAFS_LOAD_KEY']}"
JOB = os.environ["SAFS_LOAD_JOB"]
TRIALS = int(os.environ["SAFS_LOAD_TRIALS"])
EVENTS = int(os.environ["SAFS_LOAD_EVENTS"])
WARM_UP_S = float(os.environ["SAFS_LOAD_WARM_UP_S"])
"""Seconds in which users arrive and no response time is recorded."""
_started = perf_counter()
_times = open(os.environ["SAFS_LOAD_TIMES"], "w", buffering=1)  # noqa: SIM115  # closed when the process exits


@events.request.add_listener
def record(request_type: str, name: str, response_time: float, exception: Any, **_: Any) -> None:
    """Write one line: milliseconds, request, error."""
    if perf_counter() - _started >= WARM_UP_S:
        error = "" if exception is None else repr(exception)
        _times.write(f"{response_time:.3f}\t{request_type} {name}\t{error}\n")


class Reader(HttpUser):
    """A user who sends one request a second on average: mostly lists and jobs, then trials, curves and events."""

    def on_start(self) -> None:
        """Use the key that all users share."""
        self.client.headers["Authorization"] = AUTHORIZATION

    def wait_time(self) -> float:
        """Seconds until the next request, exponentially distributed with mean one."""
        return random.expovariate(1.0)

    @task(4)
    def list_jobs(self) -> None:
        """Get the first page of jobs, and the second one in ten times."""
        page = self.client.get("/v1/jobs?limit=50", name="/v1/jobs").json()
        if random.random() < 0.1:
            self.client.get(f"/v1/jobs?limit=50&page_token={page['next_page_token']}", name="/v1/jobs (2nd page)")

    @task(1)
    def list_in_a_state(self) -> None:
        """Get the newest succeeded or running jobs."""
        state = random.choice(["succeeded", "running"])
        self.client.get(f"/v1/jobs?state={state}&limit=50", name="/v1/jobs?state")

    @task(4)
    def get_job(self) -> None:
        """Get the job with the trials."""
        self.client.get(f"/v1/jobs/{JOB}", name="/v1/jobs/{id}")

    @task(2)
    def list_trials(self) -> None:
        """Get a page of its trials."""
        self.client.get(f"/v1/jobs/{JOB}/trials?limit=100", name="/v1/jobs/{id}/trials")

    @task(2)
    def get_curve(self) -> None:
        """Get the curve of a random trial."""
        number = random.randrange(TRIALS)
        self.client.get(f"/v1/jobs/{JOB}/trials/activations/{number}/curve", name="/v1/.../curve")

    @task(2)
    def list_events(self) -> None:
        """Get a page of events after a random one."""
        after = random.randrange(EVENTS)
        self.client.get(f"/v1/jobs/{JOB}/events?after={after}&limit=100", name="/v1/jobs/{id}/events")
