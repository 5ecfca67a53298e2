"""A service whose processes are killed at random times, and the checks that nothing was lost."""

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
from tests.chaos import looks
from tests.chaos.customers import Customers
from tests.chaos.forks import Forked, Forks, Order
from tests.chaos.tally import Tally
from tests.resume.attempts import ROOT

LEASE = {"lease_s": 3.0, "heartbeat_s": 0.75}
DRAIN_S = 300.0
SAMPLE = 3
"""Jobs that are run again undisturbed, to compare."""


@dataclass(frozen=True)
class Plan:
    """What to do to a service.

    Attributes:
        pause_s: the longest wait between two kills.
        api_share: of the kills.
    """

    kills: int
    minutes: float
    seed: int
    runners: int
    ray: bool
    pause_s: float
    api_share: float = 0.15


class Soak:
    """A service in ``home``: runners, an API, clients; killed as planned."""

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
        """Kills until the count or the time is reached, waits for the last jobs, checks; whether nothing was wrong."""
        began = time.monotonic()
        customers = Customers(f"http://127.0.0.1:{self._port}", self.tally, self._first_seed())
        customers.start(self._plan.runners)
        while self._killed() < self._plan.kills and time.monotonic() - began < 60 * self._plan.minutes:
            self._wait(self._random.uniform(0.1, self._plan.pause_s))
            self._kill_one()
            self.tally.write(self._home)
        customers.join(DRAIN_S)
        self._drain()
        self._check(customers)
        self.tally.minutes += (time.monotonic() - began) / 60
        self.tally.write(self._home)
        return not self.tally.violations

    def table(self) -> Table:
        """The figures of all runs in this home."""
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
        """Waits, and looks meanwhile."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._watch()
            time.sleep(0.05)

    def _watch(self) -> None:
        """Whether jobs whose runner was killed are in other hands."""
        for job_id, (killed_at, attempt) in list(self._waiting.items()):
            job = self._job(job_id)
            if job.attempt > attempt or job.state.is_final:
                if job.attempt > attempt:
                    self.tally.take_over_s.append(round(time.monotonic() - killed_at, 2))
                del self._waiting[job_id]

    def _kill_one(self) -> None:
        with self._database.begin() as tx:
            # Who is killed at random would use up its attempts now and then, as it should.
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
        self.tally.see(looks.finished(self._database))
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
        """Waits for the jobs that earlier runs in this home have left."""
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

    def _check(self, customers: Customers) -> None:
        """All that must hold once every job has ended."""
        self.tally.see(looks.finished(self._database))
        with self._database.read() as tx:
            jobs = tx.execute(text("SELECT id, name FROM jobs ORDER BY id")).all()
        for name, number in Counter(name for _, name in jobs).items():
            if number > 1:
                self.tally.complain(f"the Idempotency-Key {name} made {number} jobs")
        for job_id, _ in jobs:
            self._complain_of(lambda job_id=job_id: looks.check_events(self._database, self._job(job_id)))
        self._complain_of(lambda: looks.check_artifacts(self._database, self._home / "artifacts"))
        by_losses = sorted(customers.jobs, key=lambda job_id: -self._job(job_id).runners_lost)
        for job_id in by_losses[:SAMPLE]:
            self._complain_of(lambda job_id=job_id: self._compare(job_id, customers.jobs[job_id]))

    def _compare(self, job_id: str, seed: int) -> None:
        """The job that lost the most runners is as if it had lost none."""
        from migrations import upgrade

        home = self._home / "undisturbed" / job_id
        home.mkdir(parents=True)
        url = f"sqlite:///{home}/safs.db"
        upgrade(url)
        database = Database(url)
        with database.begin() as tx:
            again = queue.submit(tx, self._job(job_id).spec)
        self._forks.start(Order("runner", {"home": str(home), "database_url": url}, once=True)).wait()
        same = looks.ended(database, again.id) == looks.ended(self._database, job_id)
        database.dispose()
        assert same, f"{job_id} (seed {seed}) came to something else than undisturbed"
        self._console.print(
            f"{job_id} lost {self._job(job_id).runners_lost} runners, and came to what it comes to undisturbed",
            highlight=False,
        )

    def _complain_of(self, check: Any) -> None:
        try:
            check()
        except Exception as error:  # Whatever it is, it is a violation.
            self.tally.complain(f"{type(error).__name__}: {error}"[:500])


class RayRunner:
    """A runner as ``safs worker`` starts it, with its Ray; killed together."""

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
        """Ends all of it by SIGKILL."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return self._process.wait()
