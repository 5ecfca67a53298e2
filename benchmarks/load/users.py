"""What people and programs ask while they wait for jobs; a file of locust, which runs it in a process of its own.

Times go to the file that ``SAFS_LOAD_TIMES`` names, one line a request: locust itself rounds to two digits.
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
"""While users arrive, nothing is noted."""
_began = perf_counter()
_times = open(os.environ["SAFS_LOAD_TIMES"], "w", buffering=1)  # noqa: SIM115 - closed with the process


@events.request.add_listener
def note(request_type: str, name: str, response_time: float, exception: Any, **_: Any) -> None:
    """One line: milliseconds, what was asked, why it failed."""
    if perf_counter() - _began >= WARM_UP_S:
        error = "" if exception is None else repr(exception)
        _times.write(f"{response_time:.3f}\t{request_type} {name}\t{error}\n")


class Reader(HttpUser):
    """One request a second and more: lists and jobs for the most part, then trials, curves and events."""

    def on_start(self) -> None:
        """All users have the same key."""
        self.client.headers["Authorization"] = AUTHORIZATION

    def wait_time(self) -> float:
        """Seconds, one in the mean: users who are on their own come at random, not in step."""
        return random.expovariate(1.0)

    @task(4)
    def list_jobs(self) -> None:
        """The first page, and sometimes the second."""
        page = self.client.get("/v1/jobs?limit=50", name="/v1/jobs").json()
        if random.random() < 0.1:
            self.client.get(f"/v1/jobs?limit=50&page_token={page['next_page_token']}", name="/v1/jobs (2nd page)")

    @task(1)
    def list_in_a_state(self) -> None:
        """The newest that have succeeded, and those that run."""
        state = random.choice(["succeeded", "running"])
        self.client.get(f"/v1/jobs?state={state}&limit=50", name="/v1/jobs?state")

    @task(4)
    def get_job(self) -> None:
        """The job with the trials."""
        self.client.get(f"/v1/jobs/{JOB}", name="/v1/jobs/{id}")

    @task(2)
    def list_trials(self) -> None:
        """A page of its trials."""
        self.client.get(f"/v1/jobs/{JOB}/trials?limit=100", name="/v1/jobs/{id}/trials")

    @task(2)
    def get_curve(self) -> None:
        """One trial's curve."""
        number = random.randrange(TRIALS)
        self.client.get(f"/v1/jobs/{JOB}/trials/activations/{number}/curve", name="/v1/.../curve")

    @task(2)
    def list_events(self) -> None:
        """A page of events somewhere in the middle."""
        after = random.randrange(EVENTS)
        self.client.get(f"/v1/jobs/{JOB}/events?after={after}&limit=100", name="/v1/jobs/{id}/events")
