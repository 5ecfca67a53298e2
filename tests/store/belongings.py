"""Rows and files of jobs, created and aged, and the part of them that a collection deletes."""

import io
import os
import time
from collections import Counter
from typing import Any

from sqlalchemy import Table, func, select, update

from store import events, outputs, queue, trials
from store.artifacts import stored_files
from store.artifacts.stored_files import ArtifactStore
from store.clock import seconds_from_now
from store.records import CurvePoint, JobState, Lease, StoredArtifact, TrialOutcome
from store.session import Database
from store.settings import StoreSettings
from store.tables import jobs as job_rows
from store.upkeep.collection import collect

DAY_S = 86_400


def run(database: Database, store: ArtifactStore, settings: StoreSettings) -> Counter[str]:
    """Runs a collection; returns the number of deleted items by kind."""
    gone: Counter[str] = Counter()
    for removed in collect(database, store, settings):
        gone[removed.kind] += removed.count
    return +gone


def count(database: Database, table: Table) -> int:
    with database.read() as tx:
        return tx.execute(select(func.count()).select_from(table)).scalar_one()


def age(database: Database, table: Table, days: float, column: str = "created_at") -> None:
    """Makes every row of the table ``days`` old."""
    with database.begin() as tx:
        tx.execute(update(table).values({column: seconds_from_now(-days * DAY_S)}))


def age_files(store: ArtifactStore, days: float) -> None:
    for path in store.folder.rglob("*"):
        os.utime(path, (time.time() - days * DAY_S,) * 2)


def begin(database: Database, spec: dict[str, Any] | None = None, owner: str | None = None) -> Lease:
    """Queues and claims a job; returns its lease."""
    with database.begin() as tx:
        queue.submit(tx, spec or {"model": {"weights": None}}, owner=owner)
        claim = queue.claim(tx, "runner-1", lease_s=600)
    assert claim is not None
    return claim.lease


def finish(database: Database, lease: Lease, days_ago: float, state: JobState = JobState.SUCCEEDED) -> None:
    with database.begin() as tx:
        queue.finish(tx, lease, state)
        ended = update(job_rows).where(job_rows.c.id == lease.job_id)
        tx.execute(ended.values(finished_at=seconds_from_now(-days_ago * DAY_S)))


def attach(database: Database, store: ArtifactStore, lease: Lease, content: bytes) -> StoredArtifact:
    stored = store.put(io.BytesIO(content))
    with database.begin() as tx:
        stored_files.attach(tx, lease, "checkpoint", stored, "application/octet-stream")
    return stored


def keep(database: Database, store: ArtifactStore, lease: Lease, key: str, content: bytes) -> StoredArtifact:
    stored = store.put(io.BytesIO(content))
    with database.begin() as tx:
        outputs.save(tx, lease, key, "dense", stored)
    return stored


def add_trial(database: Database, lease: Lease, number: int, epochs: int = 2) -> None:
    curve = [CurvePoint(epoch, 0.5, 0.4, 0.9, 1e-3, 0.1) for epoch in range(1, epochs + 1)]
    outcome = TrialOutcome(loss=0.1, seconds=1.5)
    with database.begin() as tx:
        trials.record_done(tx, lease, "tune", number, config={}, epochs=epochs, seed=1, outcome=outcome, curve=curve)
        events.append(tx, lease, "note", {"message": "done"})
