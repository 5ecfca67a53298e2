"""Reads of a database and its artifacts, and invariants after kills: nothing is lost, repeated or torn."""

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from sqlalchemy import text

from store import events, jobs
from store.artifacts import stored_files
from store.artifacts.stored_files import ArtifactStore
from store.records import Event, Job
from store.session import Database

Row: TypeAlias = dict[str, Any]
TrialKey: TypeAlias = tuple[str, str, int]
"""(job id, stage, number)."""

RESULT = {"checkpoint", "config", "report", "picture"}
CLOCK = ("job_id", "started_at", "finished_at", "seconds")
"""Columns that differ between two runs of the same job."""

TINY: Row = {
    "model": {"architecture": "mlp"},
    "data": {"dataset": "digits", "batch_size": 256},
    "sparsity": 0.9,
    "train": {"epochs": 1, "learning_rate": 1e-2},
    "prune": {"schedule": "one_shot", "distribution": "global"},
    "activations": {"strategy": "random", "trials": 3, "epochs": 1},
    "final": {"epochs": 1, "candidates": ["default", "activations"]},
}
"""A job of 7 trainings: dense, prune, three trials, two finalists; about a second."""


@dataclass(frozen=True)
class Ended:
    """The result of a job, without its times."""

    result: Row
    trials: dict[tuple[str, int], Row]
    checkpoint: str
    """The sha256 of the checkpoint."""


def finished(database: Database, job_id: str | None = None) -> dict[TrialKey, Row]:
    """The rows of all trials that are done or failed, with their curves; of one job, or of all jobs if it is None."""
    which = "" if job_id is None else "AND job_id = :job_id"
    with database.read() as tx:
        query = text(f"SELECT * FROM trials WHERE state IN ('done', 'failed') {which}")
        rows = [dict(row) for row in tx.execute(query, {"job_id": job_id} if job_id else {}).mappings()]
        points = [
            dict(row)
            for row in tx.execute(text("SELECT * FROM trial_epochs ORDER BY job_id, stage, number, epoch")).mappings()
        ]
    return {_key(row): row | {"curve": [point for point in points if _key(point) == _key(row)]} for row in rows}


def ended(database: Database, job_id: str) -> Ended:
    """The result of a job; fails unless the job has succeeded."""
    with database.read() as tx:
        job, files = jobs.get(tx, job_id), stored_files.of_job(tx, job_id)
    assert job.state == "succeeded", job
    assert job.result is not None
    rows = {(key[1], key[2]): _timeless(row) for key, row in finished(database, job_id).items()}
    return Ended(job.result, rows, files["checkpoint"].sha256)


def told(database: Database, job_id: str) -> list[Event]:
    """All events of a job."""
    with database.read() as tx:
        return list(events.page(tx, job_id, limit=1_000_000))


def everything(database: Database) -> dict[str, list[Row]]:
    """Every row of every table that runners write to."""
    tables = ("jobs", "trials", "trial_epochs", "events", "artifacts", "job_artifacts", "stage_outputs")
    with database.read() as tx:
        return {
            table: sorted((dict(row) for row in tx.execute(text(f"SELECT * FROM {table}")).mappings()), key=repr)
            for table in tables
        }


def check_events(database: Database, job: Job) -> None:
    """Check that numbers have no gaps, no trial counts twice, and no ended trial begins again."""
    happened = told(database, job.id)
    assert [event.number for event in happened] == list(range(1, len(happened) + 1)), f"gaps in the events of {job.id}"
    done: Counter[tuple[str, int]] = Counter()
    for event in happened:
        if event.kind not in ("trial_started", "trial_done"):
            continue
        key = (event.data["stage"], event.data["candidate"]["number"])
        if event.kind == "trial_started":
            assert key not in done, f"trial {key} of {job.id} has ended, and is run again"
        elif event.data["recalled"] is None:
            done[key] += 1
    twice = {key: count for key, count in done.items() if count > 1}
    assert not twice, f"trials of {job.id} are counted twice: {twice}"


def check_artifacts(database: Database, folder: Path) -> int:
    """Check that every file of a row and every file under a final name is whole; return the number of rows."""
    store = ArtifactStore(folder)
    with database.read() as tx:
        named = tx.execute(text("SELECT sha256, size_bytes FROM artifacts")).all()
        results = tx.execute(text("SELECT id FROM jobs WHERE state = 'succeeded'")).scalars().all()
        for job_id in results:
            assert set(stored_files.of_job(tx, job_id)) >= RESULT, f"{job_id} has succeeded without all of its files"
    for sha256, size_bytes in named:
        assert store.intact_path(sha256).stat().st_size == size_bytes
    for file in folder.rglob("*"):
        if file.is_file() and re.fullmatch("[0-9a-f]{64}", file.name):
            assert hashlib.sha256(file.read_bytes()).hexdigest() == file.name, f"{file} is torn"
    return len(named)


def let_leases_expire(database: Database) -> None:
    """Set the expiry of every lease to a time in the past."""
    with database.begin() as tx:
        long_ago = {"at": "2001-01-01T00:00:00.000Z"}
        tx.execute(text("UPDATE jobs SET lease_expires_at = :at WHERE lease_token IS NOT NULL"), long_ago)


def _key(row: Row) -> TrialKey:
    return row["job_id"], row["stage"], row["number"]


def _timeless(row: Row) -> Row:
    timeless = {name: value for name, value in row.items() if name not in CLOCK}
    if isinstance(row["config"], str):  # SQLite's JSON is text.
        timeless["config"] = json.loads(row["config"])
    return timeless | {"curve": [{n: v for n, v in point.items() if n not in CLOCK} for point in row["curve"]]}
