"""The real app over a real database, a real server for what streams, and a runner that trains nothing."""

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.server import Server, make_server
from api.settings import ApiSettings
from safs.errors import ExportError
from store import api_keys, attempts, events, queue, trials
from store.api_keys import KeyLimits, Scope
from store.artifacts import stored_files
from store.artifacts.stored_files import ArtifactStore
from store.records import Claim, CurvePoint, JobError, JobState, TrialOutcome
from store.session import Database

MINIMAL = {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": 0.99}
FILES = {
    "checkpoint": (b"\x08\x00\x00\x00\x00\x00\x00\x00weights!" * 5000, "application/octet-stream"),
    "config": (b'{"spec": {}}', "application/json"),
    "report": (b'{"result": "safs"}', "application/json"),
    "picture": (b"\x89PNG of a search", "image/png"),
}
RESULT = {
    "result": "joint",
    "validation_accuracy": 0.92,
    "test_accuracy": 0.9,
    "sparsity": 0.99,
    "live_weights": 610,
    "gain": {"validation": 0.02, "test": None},
    "winner": {
        "assignment": {"conv1": "swish"},
        "recipe": {
            "optimizer": "adam",
            "learning_rate": 0.03,
            "weight_decay": 0.0,
            "momentum": 0.9,
            "nesterov": False,
            "schedule": "one_cycle",
        },
        "learnable": True,
    },
}
"""The summary of a result, as a runner writes it."""


class ScriptedRunner:
    """Does in SQL what a runner does to the oldest queued job, one step a call, and trains nothing."""

    def __init__(self, database: Database, store: ArtifactStore) -> None:
        self.database = database
        self.store = store
        self.claimed: Claim | None = None

    @property
    def claim(self) -> Claim:
        assert self.claimed is not None, "start() comes first"
        return self.claimed

    def start(self) -> str:
        with self.database.begin() as tx:
            self.claimed = queue.claim(tx, "scripted", lease_s=600)
        return self.claim.job.id

    def start_if_any(self) -> bool:
        """Starts the oldest queued job, if there is one."""
        with self.database.begin() as tx:
            self.claimed = queue.claim(tx, "scripted", lease_s=600)
        return self.claimed is not None

    def note(self, *messages: str) -> None:
        with self.database.begin() as tx:
            for message in messages:
                events.append(tx, self.claim.lease, "note", {"message": message, "level": "info"})

    def enter(self, stage: str) -> None:
        with self.database.begin() as tx:
            attempts.set_stage(tx, self.claim.lease, stage)

    def trial(
        self, stage: str, number: int, accuracies: Sequence[float], *, config: Mapping[str, Any] | None = None
    ) -> None:
        curve = [CurvePoint(epoch, 0.5, 0.4, accuracy, 1e-3, 0.1) for epoch, accuracy in enumerate(accuracies, 1)]
        best = max(accuracies)
        outcome = TrialOutcome(loss=1 - best, accuracy=best, cross_entropy=0.4, seconds=0.3)
        with self.database.begin() as tx:
            trials.record_done(
                tx,
                self.claim.lease,
                stage,
                number,
                config={"conv1": "swish"} if config is None else dict(config),
                epochs=len(curve),
                seed=7,
                outcome=outcome,
                curve=curve,
            )

    def tell_trial(self, stage: str, number: int, accuracy: float) -> None:
        """Records a trial and appends the event that a runner appends with it."""
        self.trial(stage, number, [accuracy])
        candidate = {"number": number, "config": {"conv1": "swish"}, "epochs": 1, "seed": 7}
        outcome = {"loss": 1 - accuracy, "metrics": {"accuracy": accuracy}, "seconds": 0.3, "error": None, "left": None}
        data = {"stage": stage, "candidate": candidate | {"horizon": None, "continues": None}, "outcome": outcome}
        with self.database.begin() as tx:
            events.append(tx, self.claim.lease, "trial_done", data | {"recalled": None})

    def reuse(self, stage: str, from_job: str) -> None:
        with self.database.begin() as tx:
            attempts.note_reuse(tx, self.claim.lease, stage, from_job)

    def succeed(self, more: Mapping[str, tuple[bytes, str]] | None = None) -> None:
        """Ends the job with the files of a result, and ``more``: name -> content and media type."""
        files = {**FILES, **(more or {})}
        stored = {name: (self.store.put(_Bytes(content)), media) for name, (content, media) in files.items()}
        with self.database.begin() as tx:
            for name, (artifact, media_type) in stored.items():
                stored_files.attach(tx, self.claim.lease, name, artifact, media_type)
            queue.finish(tx, self.claim.lease, JobState.SUCCEEDED, result=RESULT)

    def fail(self, message: str, stage: str) -> None:
        with self.database.begin() as tx:
            queue.finish(tx, self.claim.lease, JobState.FAILED, error=JobError("training_failed", message, stage))

    def stop(self) -> None:
        with self.database.begin() as tx:
            queue.finish(tx, self.claim.lease, JobState.CANCELLED)


class _Bytes:
    def __init__(self, content: bytes) -> None:
        self.rest = content

    def read(self, size: int, /) -> bytes:
        chunk, self.rest = self.rest[:size], self.rest[size:]
        return chunk


@pytest.fixture
def api_database_url(sqlite_url: str) -> str:
    """SQLite; modules whose tests must hold on PostgreSQL too say so by a fixture of this name."""
    return sqlite_url


@pytest.fixture
def settings(tmp_path: Path, api_database_url: str) -> ApiSettings:
    """A home of its own; event streams that are quick to notice and quick to give signs of life."""
    return settings_of(tmp_path / "home", api_database_url)


def settings_of(home: Path, database_url: str) -> ApiSettings:
    """Settings of tests: no estimates, small uploads, and event streams that look and speak often."""
    return ApiSettings(
        home=home,
        database_url=database_url,
        free_disk_bytes=0,
        upload_limit_bytes=1_000_000,
        estimate_limit_s=0,
        events_interval_s=0.02,
        keep_alive_s=0.1,
    )


class GateClock:
    """A clock in seconds that moves only when the test sets it."""

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def gate_clock(monkeypatch: pytest.MonkeyPatch) -> GateClock:
    """The clock of the key cache and of the rate limits, in all apps that are created after this fixture."""
    from api.gate import authentication

    clock = GateClock()
    monkeypatch.setattr(authentication, "KeyCache", partial(authentication.KeyCache, clock=clock))
    monkeypatch.setattr(authentication, "RateLimiter", partial(authentication.RateLimiter, clock=clock))
    return clock


@pytest.fixture
def app(settings: ApiSettings) -> Any:
    """The app that ``safs api`` serves."""
    from api.app import create_app

    return create_app(settings)


@pytest.fixture
def no_exports(app: Any) -> None:
    """The app refuses every export at once, as the files of ``ScriptedRunner`` hold no network; no process starts."""

    def refuse(*arguments: Any, **options: Any) -> None:
        raise ExportError("the checkpoint is not a network")

    app.state.services.exports._exporter = refuse


def from_this_machine(app: Any) -> TestClient:
    """Speaks to ``app`` in this process as a program on its machine does, which needs no key while there are none."""
    return TestClient(
        app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 50_000), raise_server_exceptions=False
    )


@pytest.fixture
def http(app: Any) -> Iterator[TestClient]:
    """Speaks to the app in this process."""
    with from_this_machine(app) as client:
        yield client


@pytest.fixture
def runner(settings: ApiSettings) -> Iterator[ScriptedRunner]:
    """A runner beside the app, on the same database and artifacts."""
    database = Database(settings.database_url)
    yield ScriptedRunner(database, ArtifactStore(settings.artifacts_folder))
    database.dispose()


@pytest.fixture
def submit(http: TestClient) -> Callable[..., str]:
    """Queues the minimal job with the given changes; returns its id."""

    def post(**sections: object) -> str:
        response = http.post("/v1/jobs", json=MINIMAL | sections)
        assert response.status_code == 202, response.text
        job_id: str = response.json()["id"]
        return job_id

    return post


MakeKey = Callable[..., dict[str, str]]
"""Function (owner, scope, ..., lives_s=, limits=) that returns the headers of a request with a new key."""


@pytest.fixture
def app_database(settings: ApiSettings) -> Iterator[Database]:
    """The database of the app."""
    database = Database(settings.database_url)
    yield database
    database.dispose()


@pytest.fixture
def make_key(app_database: Database) -> MakeKey:
    """Makes API keys. Once the first exists, every request needs one."""

    def make(owner: str, *scopes: str, lives_s: float | None = None, limits: KeyLimits | None = None) -> dict[str, str]:
        with app_database.begin() as tx:
            chosen = [Scope(scope) for scope in scopes]
            _, token = api_keys.create(tx, owner, chosen, lives_s=lives_s, limits=limits or KeyLimits())
        return {"Authorization": f"Bearer {token}"}

    return make


@contextmanager
def running(settings: ApiSettings, port: int = 0) -> Iterator[tuple[str, Server]]:
    """A real server in a thread, and its address. Its socket listens from the start, so nobody waits for it."""
    with socket.create_server(("127.0.0.1", port)) as listening:
        server = make_server(settings)
        thread = Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", server
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def serve(settings: ApiSettings) -> Callable[..., Any]:
    """``running`` with these settings; takes a port."""
    return lambda port=0: running(settings, port)


@pytest.fixture
def url(settings: ApiSettings) -> Iterator[str]:
    """The address of a real server."""
    with running(settings) as (address, _):
        yield address
