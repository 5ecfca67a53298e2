"""A model of the queue in memory, written from its promises and not from the SQL."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

ACTIVE = ("running", "cancelling")
FINAL = ("succeeded", "failed", "cancelled")

TrialKey = tuple[str, int]
"""Stage and number."""


@dataclass
class ModelTrial:
    state: str = "running"
    seconds: float | None = None
    recalled: str | None = None

    @property
    def is_finished(self) -> bool:
        return self.state in ("done", "failed")


@dataclass
class ModelJob:
    """A job as it should be; what it shows under these names stands in the columns of its row."""

    id: str
    max_attempts: int
    state: str = "queued"
    attempt: int = 0
    token: str | None = None
    worker: str | None = None
    expired: bool = False
    stage: str | None = None
    program: str | None = None
    gpus_per_trial: float | None = None
    runners_lost: int = 0
    workers_lost: int = 0
    trials_repeated: int = 0
    batch: int = 0
    event_count: int = 0
    totals: tuple[int, float, float] | None = None
    trials: dict[TrialKey, ModelTrial] = field(default_factory=dict)

    def columns(self) -> dict[str, Any]:
        """Expected content of the job's row."""
        count, seconds, gpu_seconds = self.totals or (None, None, None)
        return {
            "state": self.state,
            "attempt": self.attempt,
            "max_attempts": self.max_attempts,
            "lease_token": self.token,
            "worker": self.worker,
            "stage": self.stage,
            "program": self.program,
            "gpus_per_trial": self.gpus_per_trial,
            "runners_lost": self.runners_lost,
            "workers_lost": self.workers_lost,
            "trials_repeated": self.trials_repeated,
            "recorded_batch": self.batch,
            "event_count": self.event_count,
            "trial_count": count,
            "trial_seconds": seconds,
            "gpu_seconds": gpu_seconds,
        }

    def take(self, worker: str, token: str) -> None:
        """A runner begins."""
        if self.state in ACTIVE:
            self.lose_runner()
        self.state, self.attempt, self.worker, self.token = "running", self.attempt + 1, worker, token
        self.expired, self.stage, self.batch = False, None, 0

    def lose_runner(self) -> None:
        """The cost of a lost runner, and the note on it."""
        self.runners_lost += 1
        self.trials_repeated += sum(trial.state == "running" for trial in self.trials.values())
        self._interrupt()
        self.event_count += 1

    def hand_back(self) -> None:
        self.attempt -= 1
        if self.state == "cancelling":
            self.end("cancelled")
            return
        self._interrupt()
        self._let_go("queued")

    def end(self, state: str) -> None:
        self._interrupt()
        run_here = [trial for trial in self.trials.values() if trial.seconds is not None and trial.recalled is None]
        seconds = sum(trial.seconds or 0.0 for trial in run_here)
        self.totals = (len(run_here), seconds, seconds * (self.gpus_per_trial or 0.0))
        self._let_go(state)

    def _let_go(self, state: str) -> None:
        self.state, self.token, self.worker, self.expired = state, None, None, False

    def _interrupt(self) -> None:
        for trial in self.trials.values():
            if trial.state == "running":
                trial.state = "interrupted"


class ModelQueue:
    """All jobs, in the order of their submission."""

    def __init__(self) -> None:
        self.jobs: dict[str, ModelJob] = {}

    def settle(self) -> None:
        """Ends the jobs that nobody will go on with: what a claim does first."""
        for job in self._expired():
            if job.state == "cancelling" or job.attempt >= job.max_attempts:
                state = "cancelled" if job.state == "cancelling" else "failed"
                job.lose_runner()
                job.end(state)

    def next(self) -> ModelJob | None:
        """Whom a claim takes."""
        return next((job for job in self.jobs.values() if job.state == "queued" or job.expired), None)

    def holder(self, token: str) -> ModelJob | None:
        """The job that is under this lease now."""
        return next((job for job in self.jobs.values() if job.token == token), None)

    def _expired(self) -> Iterator[ModelJob]:
        return (job for job in self.jobs.values() if job.expired)
