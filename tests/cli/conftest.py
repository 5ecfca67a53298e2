"""A service for the commands: the real API in its own process, and a stand-in for the runner."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.child_process import Child
from cli.main import make_app
from cli.supervisor import free_port
from migrations import upgrade
from safs.events.kinds import Event, event_data, event_kind
from store import events, queue
from store.artifacts import stored_files
from store.artifacts.stored_files import ArtifactStore
from store.records import Claim, JobError, JobState
from store.session import Database
from store.settings import StoreSettings
from tests.waiting import wait_until

REPORT = Path(__file__).parent.parent / "report" / "report.json"
RESULT = {"checkpoint": b"weights", "config": b"{}", "report": REPORT.read_bytes(), "picture": b"\x89PNG"}


@pytest.fixture(autouse=True)
def no_handlers_left() -> Iterator[None]:
    """Remove the log handlers of a command that ran in this process: they write to its output, which is closed."""
    yield
    root = logging.getLogger()
    for handler in [one for one in root.handlers if type(one) is logging.StreamHandler]:
        root.removeHandler(handler)


@pytest.fixture
def safs() -> Callable[..., Result]:
    """Runs a command as a user does; an exception is the result's ``exception``."""

    def invoke(*arguments: str, text: str | None = None) -> Result:
        return CliRunner().invoke(make_app(), list(arguments), input=text)

    return invoke


@dataclass(frozen=True)
class Api:
    """A running API."""

    url: str
    settings: StoreSettings


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The API on a free port, with its own home. The tests of this folder share its queue."""
    home = tmp_path_factory.mktemp("home")
    settings = StoreSettings(home=home, database_url=f"sqlite:///{home / 'safs.db'}")
    upgrade(settings.database_url)
    port = free_port()
    child = Child(
        "api",
        ["api", "--port", str(port)],
        log=home / "api.log",
        environment={
            "SAFS_HOME": str(home),
            "SAFS_DATABASE_URL": settings.database_url,
            "SAFS_HOST": "127.0.0.1",
            "SAFS_ESTIMATE_LIMIT_S": "0",
        },
        ready="Uvicorn running",
    )
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: child.is_ready or child.exit_code is not None)
    assert child.is_ready, "\n".join(child.tail())
    yield Api(url, settings)
    child.stop(grace_s=20)


@pytest.fixture
def runner(api: Api) -> "Iterator[RunnerPen]":
    """Writes to the database as a runner does."""
    database = Database(api.settings.database_url)
    yield RunnerPen(database, ArtifactStore(api.settings.artifacts_folder))
    database.dispose()


@dataclass(frozen=True)
class RunnerPen:
    """Claims and ends jobs like a runner, without training."""

    database: Database
    store: ArtifactStore

    def claim(self, job_id: str) -> Claim:
        """Claims jobs until it gets this one; jobs left by other tests are failed."""
        while True:
            with self.database.begin() as tx:
                claim = queue.claim(tx, "pen", 60.0)
            assert claim is not None, f"{job_id} is not in the queue"
            if claim.job.id == job_id:
                return claim
            self.fail(claim, "left over")

    def tell(self, claim: Claim, *happened: Event) -> None:
        """Stores events."""
        with self.database.begin() as tx:
            for event in happened:
                events.append(tx, claim.lease, event_kind(event), event_data(event))

    def succeed(self, claim: Claim, files: Mapping[str, bytes] = RESULT) -> None:
        """Ends the job with these files as its result."""
        folder = self.store.folder.parent
        with self.database.begin() as tx:
            for name, content in files.items():
                (folder / name).write_bytes(content)
                stored = self.store.put(folder / name)
                stored_files.attach(tx, claim.lease, name, stored, "application/octet-stream")
            queue.finish(tx, claim.lease, JobState.SUCCEEDED, result={"test_accuracy": 0.8611})

    def fail(self, claim: Claim, why: str) -> None:
        """Ends the job without a result."""
        with self.database.begin() as tx:
            queue.finish(tx, claim.lease, JobState.FAILED, error=JobError("training_failed", why, "dense"))


def report() -> dict[str, Any]:
    """A finished job's report."""
    document: dict[str, Any] = json.loads(REPORT.read_text())
    return document
