"""A soak: a service whose processes are killed at random times, and the checks that nothing was lost."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Self

from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from cli.supervisor import free_port
from store import jobs, queue
from store.records import Job, JobState
from store.session import Database
from tests.chaos import inspection
from tests.chaos.clients import Clients
from tests.chaos.forks import Forked, Forks, Order
from tests.chaos.tally import Tally
from tests.resume.attempts import ROOT

LEASE = {"lease_s": 3.0, "heartbeat_s": 0.75}
DRAIN_S = 300.0
SAMPLE = 3
"""Number of jobs that run again undisturbed, for comparison."""


@dataclass(frozen=True)
class Plan:
    """The settings of a soak.

    Attributes:
        pause_s: the longest wait between two kills, in seconds.
        api_share: fraction of the kills that hit the API.
    """

    kills: int
    minutes: float
    seed: int
    runners: int
    ray: bool
    pause_s: float
    api_share: float = 0.15


class Soak:
    """A service in ``home`` with runners, an API and clients, whose processes are killed according to a plan."""

    def __init__(self, home: Path, database_url: str, plan: Plan, console: Console) -> None:
        self._home, self._url, self._plan, self._console = home, database_url, plan, console
        self.tally = Tally.read(home)
        self._random = random.Random(f"{plan.seed}/{sum(self.tally.kills.values())}")
        self._stack = ExitStack()
        self._waiting: dict[str, tuple[float, int]] = {}

    def __enter__(self) -> Self:
        self._forks = self._stack.enter_context(Forks())
        self._database = Database(self._url)
        self._stack.callback(self._database.dispose)
        self._port = free_port()
        self._runners = [self._start_runner() for _ in range(self._plan.runners)]
        self._stack.callback(self._end_runners)
        self._api = self._start_api()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self) -> bool:
        """Kill until the number or the time is reached, wait for the last jobs, and check; True without a violation."""
        began = time.monotonic()
        clients = Clients(f"http://127.0.0.1:{self._port}", self.tally, self._first_seed())
        clients.start(self._plan.runners)
        while self._killed() < self._plan.kills and time.monotonic() - began < 60 * self._plan.minutes:
            self._wait(self._random.uniform(0.1, self._plan.pause_s))
            self._kill_one()
            self.tally.write(self._home)
        clients.join(DRAIN_S)
        self._drain()
        self._check(clients)
        self.tally.minutes += (time.monotonic() - began) / 60
        self.tally.write(self._home)
        return not self.tally.violations

    def table(self) -> Table:
        """A table with the figures of all runs in this home."""
        table = Table(show_header=False)
        for name, value in self._figures().items():
            table.add_row(name, value)
        return table

    def _figures(self) -> dict[str, str]:
        with self._database.read() as tx:
            ended = tx.execute(text("SELECT state, count(*) FROM jobs GROUP BY state ORDER BY state")).all()
            sums = "sum(runners_lost), sum(workers_lost), sum(trials_repeated), sum(seconds_lost)"
            lost, workers, repeated, seconds = tx.execute(text(f"SELECT {sums} FROM jobs")).one()
            events = tx.execute(text("SELECT count(*) FROM events")).scalar_one()
            files = tx.execute(text("SELECT count(*) FROM artifacts")).scalar_one()
        times = self.tally.take_over_s
        kills = ", ".join(f"{victim} {number}" for victim, number in sorted(self.tally.kills.items()))
        span = f"{min(times):.1f} / {median(times):.1f} / {max(times):.1f} ({len(times)})" if times else "-"
        return {
            "kills": f"{self._killed()} ({kills}) in {self.tally.minutes:.1f} min",
            "jobs": ", ".join(f"{state} {number}" for state, number in ended),
            "runners lost, as jobs tell": f"{lost or 0}; Ray workers: {workers or 0}",
            "finished trials seen": str(len(self.tally.finished)),
            "finished trials lost": str(sum("was finished" in line for line in self.tally.violations)),
            "trials repeated": f"{repeated or 0} that were cut short; {seconds or 0:.0f} s lost",
            "events": f"{events}, each once, in order",
            "artifacts": f"{files} verified",
            "seconds to take over": f"{span} min / median / max (n); lease {LEASE['lease_s']:g} s",
            "violations": str(len(self.tally.violations)),
        }

    def _killed(self) -> int:
        return sum(self.tally.kills.values())

    def _wait(self, seconds: float) -> None:
        """Wait ``seconds`` and watch the jobs meanwhile."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._watch()
            time.sleep(0.05)

    def _watch(self) -> None:
        """Record the time of each job that another runner has taken over."""
        for job_id, (killed_at, attempt) in list(self._waiting.items()):
            job = self._job(job_id)
            if job.attempt > attempt or job.state.is_final:
                if job.attempt > attempt:
                    self.tally.take_over_s.append(round(time.monotonic() - killed_at, 2))
                del self._waiting[job_id]

    def _kill_one(self) -> None:
        with self._database.begin() as tx:
            # Random kills would exhaust the attempts of a job.
            tx.execute(text("UPDATE jobs SET max_attempts = 1000 WHERE max_attempts < 1000"))
        victim = "api" if self._random.random() < self._plan.api_share else "runner"
        if victim == "api":
            self._api.kill()
            self._api = self._start_api()
        else:
            number = self._random.randrange(len(self._runners))
            self._kill_runner(number)
            self._runners[number] = self._start_runner()
        self.tally.kills[victim] += 1
        self.tally.see(inspection.finished(self._database))
        self._console.print(
            f"kill {self._killed():>3} of {self._plan.kills}: {victim:<6}  finished trials {len(self.tally.finished)}  "
            f"violations {len(self.tally.violations)}",
            highlight=False,
        )

    def _kill_runner(self, number: int) -> None:
        runner = self._runners[number]
        worker = f":{runner.pid}"
        runner.kill()
        killed_at = time.monotonic()
        with self._database.read() as tx:
            held = [job for state in (JobState.RUNNING,) for job in jobs.list(tx, state=state).items]
        for job in held:
            if job.worker is not None and job.worker.endswith(worker):
                self._waiting[job.id] = (killed_at, job.attempt)

    def _start_runner(self) -> "Forked | RayRunner":
        settings = {"home": str(self._home), "database_url": self._url, **LEASE}
        return RayRunner(settings) if self._plan.ray else self._forks.start(Order("runner", settings))

    def _start_api(self) -> Forked:
        settings = {"home": str(self._home), "database_url": self._url, "port": self._port}
        return self._forks.start(Order("api", settings))

    def _end_runners(self) -> None:
        for runner in self._runners:
            runner.kill()

    def _drain(self) -> None:
        """Wait for the unfinished jobs of earlier runs in this home."""
        deadline = time.monotonic() + DRAIN_S
        while left := self._left():
            if time.monotonic() > deadline:
                self.tally.complain(f"{left} jobs have not ended {DRAIN_S:g} s after the last kill")
                return
            self._wait(1.0)

    def _left(self) -> int:
        with self._database.read() as tx:
            return int(tx.execute(text("SELECT count(*) FROM jobs WHERE finished_at IS NULL")).scalar_one())

    def _first_seed(self) -> int:
        with self._database.read() as tx:
            return int(tx.execute(text("SELECT count(*) FROM jobs")).scalar_one())

    def _job(self, job_id: str) -> Job:
        with self._database.read() as tx:
            return jobs.get(tx, job_id)

    def _check(self, clients: Clients) -> None:
        """Check all invariants after every job has ended."""
        self.tally.see(inspection.finished(self._database))
        with self._database.read() as tx:
            jobs = tx.execute(text("SELECT id, name FROM jobs ORDER BY id")).all()
        for name, number in Counter(name for _, name in jobs).items():
            if number > 1:
                self.tally.complain(f"the Idempotency-Key {name} made {number} jobs")
        for job_id, _ in jobs:
            self._complain_of(lambda job_id=job_id: inspection.check_events(self._database, self._job(job_id)))
        self._complain_of(lambda: inspection.check_artifacts(self._database, self._home / "artifacts"))
        by_losses = sorted(clients.jobs, key=lambda job_id: -self._job(job_id).runners_lost)
        for job_id in by_losses[:SAMPLE]:
            self._complain_of(lambda job_id=job_id: self._compare(job_id, clients.jobs[job_id]))

    def _compare(self, job_id: str, seed: int) -> None:
        """Compare the jobs that lost the most runners with undisturbed runs of them."""
        from migrations import upgrade

        home = self._home / "undisturbed" / job_id
        home.mkdir(parents=True)
        url = f"sqlite:///{home}/safs.db"
        upgrade(url)
        database = Database(url)
        with database.begin() as tx:
            again = queue.submit(tx, self._job(job_id).spec)
        self._forks.start(Order("runner", {"home": str(home), "database_url": url}, once=True)).wait()
        same = inspection.ended(database, again.id) == inspection.ended(self._database, job_id)
        database.dispose()
        assert same, f"{job_id} (seed {seed}) came to something else than undisturbed"
        self._console.print(
            f"{job_id} lost {self._job(job_id).runners_lost} runners, and came to what it comes to undisturbed",
            highlight=False,
        )

    def _complain_of(self, check: Any) -> None:
        try:
            check()
        except Exception as error:  # Every error is a violation.
            self.tally.complain(f"{type(error).__name__}: {error}"[:500])


class RayRunner:
    """``safs worker`` with its Ray, in one process group."""

    def __init__(self, settings: dict[str, Any]) -> None:
        variables = {f"SAFS_{name.upper()}": str(value) for name, value in settings.items()} | {"SAFS_CPUS": "1"}
        log = (Path(settings["home"]) / "runner.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cli.main", "worker"],
                cwd=ROOT,
                env=os.environ | variables,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def kill(self) -> int:
        """Kill the process group."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return self._process.wait()
