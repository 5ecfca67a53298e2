"""Fixtures for tests that kill processes: forked processes, and the home of a service on either database."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from cli.supervisor import free_port
from store import jobs, queue
from store.crash_points import VARIABLE
from store.errors import DatabaseUnavailable
from store.records import Job
from store.session import Database
from tests.chaos import inspection
from tests.chaos.forks import Forked, Forks, Order
from tests.resume.attempts import ROOT
from tests.waiting import is_listening, wait_until


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """A process that forks runners and APIs."""
    with Forks() as forks:
        yield forks


@dataclass(frozen=True)
class Api:
    """A running API process."""

    url: str
    http: httpx.Client
    process: Forked


@dataclass(frozen=True)
class Home:
    """The folder and the database of a service, and its processes."""

    folder: Path
    database: Database
    forks: Forks
    runners: list[Forked] = field(default_factory=list)

    def close(self) -> None:
        """Kill the remaining runners, which would claim the next test's jobs."""
        for runner in self.runners:
            runner.kill()

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "home": str(self.folder),
            "database_url": self.database.url.render_as_string(hide_password=False),
        }

    def runner(self, *, crash_at: str = "", once: bool = True, holds: Sequence[int] = (), **settings: Any) -> Forked:
        """Start a runner; ``holds`` are the trainings that it holds at their start (see ``Order``)."""
        self.runners.append(self.forks.start(Order("runner", self.settings | settings, crash_at, once, tuple(holds))))
        return self.runners[-1]

    def ray_runner(self, *, cpus: int, crash_at: str = "") -> "subprocess.Popen[bytes]":
        """Start ``safs worker`` with a Ray of its own, as the leader of a process group."""
        environment = os.environ | {
            "SAFS_HOME": str(self.folder),
            "SAFS_DATABASE_URL": self.settings["database_url"],
            "SAFS_CPUS": str(cpus),
            VARIABLE: crash_at,
        }
        command = [sys.executable, "-m", "cli.main", "worker"]
        with (self.folder / "runner.log").open("ab") as log:
            return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)

    @contextmanager
    def api(self, *, crash_at: str = "", **settings: Any) -> "Iterator[Api]":
        """An API that answers; it is killed at the end of the block."""
        port = free_port()
        process = self.forks.start(Order("api", self.settings | settings | {"port": port}, crash_at))
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: process.code is not None or is_listening(url))
            assert process.code is None, (self.folder / "api.log").read_text()
            with httpx.Client(base_url=url, trust_env=False, timeout=60) as http:
                yield Api(url, http, process)
        finally:
            process.kill()

    def submit(self, **sections: Any) -> str:
        """Submit a tiny job that may be attempted 20 times; return its id."""
        with self.database.begin() as tx:
            return queue.submit(tx, inspection.TINY | sections, max_attempts=20).id

    def job(self, job_id: str) -> Job:
        with self.database.read() as tx:
            return jobs.get(tx, job_id)

    def freeze(self, process: Forked) -> None:
        """Stop the process by SIGSTOP, at a moment when it holds no lock of the database."""
        while True:
            process.send(signal.SIGSTOP)
            if self._nobody_writes():
                return
            process.send(signal.SIGCONT)

    def _nobody_writes(self) -> bool:
        postgresql = self.database.url.get_backend_name() == "postgresql"
        try:
            with self.database.begin() as tx:
                if postgresql:
                    tx.execute(text("SELECT 1 FROM jobs FOR UPDATE NOWAIT"))
        except (DatabaseUnavailable, OperationalError):
            return False
        return True

    def log(self) -> str:
        """The log of the runners."""
        return (self.folder / "runner.log").read_text()


@pytest.fixture
def home(tmp_path: Path, database: Database, forks: Forks) -> Iterator[Home]:
    """The home of a service, on both databases in turn."""
    home = Home(tmp_path, database, forks)
    yield home
    home.close()


@pytest.fixture
def sqlite_home(tmp_path: Path, sqlite_database: Database, forks: Forks) -> Iterator[Home]:
    home = Home(tmp_path, sqlite_database, forks)
    yield home
    home.close()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite_file: Path, forks: Forks) -> inspection.Ended:
    """The result of the tiny job without any kill."""
    folder = tmp_path_factory.mktemp("undisturbed")
    shutil.copy(migrated_sqlite_file, folder)
    database = Database(f"sqlite:///{folder / 'safs.db'}")
    home = Home(folder, database, forks)
    job_id = home.submit()
    assert home.runner().wait() == 0, home.log()
    found = inspection.ended(database, job_id)
    database.dispose()
    return found
