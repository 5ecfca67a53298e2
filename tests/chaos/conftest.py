"""Cheap processes to kill, and a home for them on either database."""

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
from tests.chaos import looks
from tests.chaos.forks import Forked, Forks, Order
from tests.cli.conftest import is_listening, wait_until
from tests.resume.attempts import ROOT


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Forks runners and APIs."""
    with Forks() as forks:
        yield forks


@dataclass(frozen=True)
class Api:
    """A process that serves."""

    url: str
    http: httpx.Client
    process: Forked


@dataclass(frozen=True)
class Home:
    """A service's folder and database, and the processes that work there."""

    folder: Path
    database: Database
    forks: Forks
    runners: list[Forked] = field(default_factory=list)

    def close(self) -> None:
        """Kills the runners that are still there: they would run the next test's jobs."""
        for runner in self.runners:
            runner.kill()

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "home": str(self.folder),
            "database_url": self.database.url.render_as_string(hide_password=False),
        }

    def runner(self, *, crash_at: str = "", once: bool = True, holds: Sequence[int] = (), **settings: Any) -> Forked:
        """A runner at work; ``holds`` are the trainings that it holds at their start (see ``Order``)."""
        self.runners.append(self.forks.start(Order("runner", self.settings | settings, crash_at, once, tuple(holds))))
        return self.runners[-1]

    def ray_runner(self, *, cpus: int, crash_at: str = "") -> "subprocess.Popen[bytes]":
        """A runner as ``safs worker`` starts it, with a Ray of its own; the head of a process group."""
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
        """An API, which answers; ended by SIGKILL."""
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
        """A tiny job in the queue, which survives many runners."""
        with self.database.begin() as tx:
            return queue.submit(tx, looks.TINY | sections, max_attempts=20).id

    def job(self, job_id: str) -> Job:
        with self.database.read() as tx:
            return jobs.get(tx, job_id)

    def freeze(self, process: Forked) -> None:
        """Stops the process by SIGSTOP, at a moment when it holds no lock of the database."""
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
        """What the runners said."""
        return (self.folder / "runner.log").read_text()


@pytest.fixture
def home(tmp_path: Path, database: Database, forks: Forks) -> Iterator[Home]:
    """On both databases in turn."""
    home = Home(tmp_path, database, forks)
    yield home
    home.close()


@pytest.fixture
def sqlite_home(tmp_path: Path, sqlite_database: Database, forks: Forks) -> Iterator[Home]:
    home = Home(tmp_path, sqlite_database, forks)
    yield home
    home.close()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite_file: Path, forks: Forks) -> looks.Ended:
    """What the tiny job comes to if nobody is killed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    shutil.copy(migrated_sqlite_file, folder)
    database = Database(f"sqlite:///{folder / 'safs.db'}")
    home = Home(folder, database, forks)
    job_id = home.submit()
    assert home.runner().wait() == 0, home.log()
    found = looks.ended(database, job_id)
    database.dispose()
    return found
