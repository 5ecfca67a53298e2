"""Homes whose database has rows in every table."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from store import api_keys, counters, events, queue, trials, uploads
from store.api_keys import Scope
from store.artifacts import stored_files
from store.artifacts.stored_files import ArtifactStore
from store.records import CurvePoint, JobState, Lease, TrialOutcome
from store.session import Database

Safs = Callable[..., Result]
CHECKPOINT = b"\x08\x00\x00\x00\x00\x00\x00\x00weights!" * 1000


class Service:
    """A home with a database, which the commands find through their environment."""

    def __init__(self, safs: Safs, home: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.url = home, url
        self.store = ArtifactStore(home / "artifacts")
        self._safs, self._monkeypatch = safs, monkeypatch

    def run(self, *arguments: str) -> Result:
        """Runs ``safs`` with these arguments on this home."""
        with self._monkeypatch.context() as patched:
            patched.setenv("SAFS_HOME", str(self.home))
            patched.setenv("SAFS_DATABASE_URL", self.url)
            return self._safs(*arguments)


def begin(database: Database, spec: dict[str, Any], owner: str | None = None) -> Lease:
    with database.begin() as tx:
        queue.submit(tx, spec, name="Größe ✓", owner=owner)
        claim = queue.claim(tx, "runner-1", lease_s=600)
    assert claim is not None
    return claim.lease


def fill(database: Database, store: ArtifactStore) -> tuple[str, str, str, str]:
    """Fills every table; returns a token and the ids of a succeeded, a running and a cancelling job."""
    with database.begin() as tx:
        _, token = api_keys.create(tx, "vision", [Scope.READ])
        counters.add(tx, {"jobs_failed": 3.0})
        weights = uploads.create(tx, store.put(io.BytesIO(b"dense")), "dense.safetensors", 4, "vision")
    done = begin(database, {"model": {"weights": weights.id}, "lr": 1e-7, "text": "a\nb"}, "vision")
    curve = [CurvePoint(epoch, 0.1 + 0.2, None, 1 / 3, 1e-3, 0.1) for epoch in (1, 2)]
    for number in range(3):
        with database.begin() as tx:
            trials.record_done(
                tx, done, "tune", number, config={"lr": 0.1}, epochs=2, seed=2**40,
                outcome=TrialOutcome(loss=0.25, accuracy=0.75, seconds=2.0), curve=curve,
            )  # fmt: skip
            events.append(tx, done, "note", {"message": f"trial {number}"})
    with database.begin() as tx:
        stored = store.put(io.BytesIO(CHECKPOINT))
        stored_files.attach(tx, done, "checkpoint", stored, "application/octet-stream")
        queue.finish(tx, done, JobState.SUCCEEDED, result={"test_accuracy": 0.9})
    runs, cancelling = begin(database, {"sparsity": 0.99}), begin(database, {})
    with database.begin() as tx:
        trials.record_started(tx, runs, "tune", 0, config={}, epochs=1, seed=1)
        queue.request_cancel(tx, cancelling.job_id)
    return token, done.job_id, runs.job_id, cancelling.job_id
