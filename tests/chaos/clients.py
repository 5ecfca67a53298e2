"""Clients that submit jobs and follow them through restarts of the API."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Lock, Thread

import httpx

from safs.client import Backoff, Client
from tests.chaos import inspection
from tests.chaos.tally import Tally

PATIENT = Backoff(first_s=0.1, longest_s=1.0, attempts=300)


@dataclass
class Clients:
    """Threads that each submit a job with an Idempotency-Key, follow it, download its result, and start over."""

    url: str
    tally: Tally
    first_seed: int
    closing: Event = field(default_factory=Event)
    jobs: dict[str, int] = field(default_factory=dict)
    """Job id -> seed; each Idempotency-Key creates one job."""
    _threads: list[Thread] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def start(self, number: int) -> None:
        """Start ``number`` clients."""
        seeds = count(self.first_seed)
        for _ in range(number):
            thread = Thread(target=self._work, args=(lambda: next(seeds),), daemon=True)
            self._threads.append(thread)
            thread.start()

    def join(self, timeout_s: float) -> None:
        """Stop new submissions, and wait until all submitted jobs have ended."""
        self.closing.set()
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                self.tally.complain(f"a job has not ended {timeout_s:g} s after the last kill")

    def _work(self, next_seed: Callable[[], int]) -> None:
        with Client(self.url, backoff=PATIENT) as client:
            while not self.closing.is_set():
                with self._lock:
                    seed = next_seed()
                try:
                    self._follow(client, self._submit(seed))
                except Exception as error:  # Every error is a violation; the soak continues.
                    self.tally.complain(f"a client of the job with seed {seed}: {type(error).__name__}: {error}")

    def _submit(self, seed: int) -> str:
        """Submit the job, again after every connection error; return its id."""
        name = f"chaos-{seed}"
        spec, headers = {"name": name, "seed": seed}, {"Idempotency-Key": name}
        with httpx.Client(base_url=self.url, trust_env=False, timeout=60) as http:
            while True:
                try:
                    answer = http.post("/v1/jobs", json=inspection.TINY | spec, headers=headers)
                except httpx.TransportError:
                    time.sleep(0.1)
                    continue
                answer.raise_for_status()
                break
        job_id: str = answer.json()["id"]
        with self._lock:
            self.jobs[job_id] = seed
        return job_id

    def _follow(self, client: Client, job_id: str) -> None:
        job = PATIENT.retry(lambda: client.job(job_id))
        for expected, event in enumerate(job.follow(), start=1):
            if event["number"] != expected:
                self.tally.complain(f"{job_id}: event {event['number']} came instead of {expected}")
                return
        PATIENT.retry(job.refresh)
        if job.state != "succeeded":
            self.tally.complain(f"{job_id} has {job.state}: {job.view['error']}")
            return
        with TemporaryDirectory() as folder:
            PATIENT.retry(lambda: job.download(Path(folder)))
