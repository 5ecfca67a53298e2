"""One real service for all tests here: an API process, a runner with its Ray, and SQLite."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.child_process import Child
from cli.supervisor import GRACE_S, free_port
from safs.client import Client
from tests.resume.attempts import ROOT
from tests.waiting import wait_until


@pytest.fixture(scope="package")
def home(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite_file: Path) -> Path:
    """The home of the service."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copy(migrated_sqlite_file, folder)
    return folder


@pytest.fixture(scope="package")
def environment(home: Path) -> dict[str, str]:
    """The environment of the service's processes."""
    # With one core, a job starts one process for its trainings.
    return {"SAFS_HOME": str(home), "SAFS_DATABASE_URL": "", "SAFS_HOST": "127.0.0.1", "SAFS_CPUS": "1"}


@pytest.fixture(scope="package")
def runner(home: Path, environment: dict[str, str]) -> Iterator[None]:
    """``safs worker``, which keeps its workers for the next job."""
    command = [sys.executable, "-P", "-m", "cli.main", "worker"]
    with (home / "runner.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield
        process.terminate()
        process.wait(2 * GRACE_S)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(GRACE_S)


@pytest.fixture(scope="package")
def address(home: Path, environment: dict[str, str], runner: None) -> Iterator[str]:
    """The address of the service: an API process, a runner with its Ray, and SQLite."""
    port = free_port()
    api = Child("api", ["api", "--port", str(port)], log=home / "api.log", environment=environment, ready="running on")
    try:
        wait_until(lambda: api.is_ready or api.exit_code is not None, timeout_s=200)
        assert api.is_ready, "\n".join(api.tail())
        yield f"http://127.0.0.1:{port}"
    finally:
        api.stop(grace_s=GRACE_S)


@pytest.fixture(scope="package")
def client(address: str) -> Iterator[Client]:
    """A client of the service."""
    with Client(address) as client:
        yield client
