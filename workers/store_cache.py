"""The pipeline's cache in the store: outputs, trials and winners of earlier attempts and of other jobs."""

import logging
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from safs.events.kinds import Stage
from safs.execution.executor import EARLIER_ATTEMPT
from safs.execution.training import Training
from safs.reuse.cache import CachedOutput, Winner
from safs.spec.training import Recipe
from safs.trials import Trial
from store import outputs, trials
from store.artifacts.stored_files import ArtifactStore
from store.crash_points import reach
from store.errors import ArtifactNotFound
from store.records import Json, Lease, StageOutput
from store.session import Database, Transaction
from workers.outage import retry_during_outage
from workers.trial_records import restored_trial

log = logging.getLogger(__name__)

RETRY_S = 1.0
"""Seconds between two retries while the database or the object storage is away."""

Value = TypeVar("Value")


class StoredWinner(BaseModel):
    """The winning finalist, as the column ``jobs.result`` holds it."""

    assignment: dict[str, str]
    recipe: Recipe
    learnable: bool


class StoreCache:
    """A ``safs.reuse.cache.Cache`` of one owner: stage outputs are artifacts, trials and winners are rows.

    Args:
        check: called before each retry while the database is away; raises if the run must end.
        owner: the owner of the job; None if it has none.
    """

    def __init__(
        self,
        database: Database,
        artifacts: ArtifactStore,
        lease: Lease,
        check: Callable[[], None],
        owner: str | None = None,
    ) -> None:
        self._database, self._artifacts, self._lease, self._check = database, artifacts, lease, check
        self._owner = owner

    def get(self, key: str) -> CachedOutput | None:
        """Return the output cached under ``key``, or None. An output whose file is lost or damaged is evicted."""
        output = self._read(lambda tx: outputs.find(tx, owner_key(key, self._owner)))
        file = None if output is None else self._intact(output)
        if output is None or file is None:
            return None
        return CachedOutput(file, EARLIER_ATTEMPT if output.job_id == self._lease.job_id else output.job_id)

    def put(self, key: str, stage: Stage, file: Path) -> None:
        """Cache a copy of ``file`` under ``key``; an output that is already there stays.

        Raises:
            LeaseLost: another runner holds the job.
        """
        stored = self._retry(lambda: self._artifacts.put(file))

        def keep(tx: Transaction) -> None:
            outputs.save(tx, self._lease, owner_key(key, self._owner), stage.value, stored)
            reach("stage.before_commit")

        self._write(keep)
        reach("stage.after_commit")

    def trials(self, stage: Stage) -> Sequence[Trial]:
        """Return the finished trials of this job's stage, by number. Interrupted trials are left out."""
        found = self._read(lambda tx: trials.finished(tx, self._lease.job_id, stage.value))
        return [restored_trial(finished) for finished in found]

    def winners(self, architecture: str, limit: int) -> Sequence[Winner]:
        """Return the winners of the owner's latest jobs on ``architecture`` that ended before this job first began.

        Winners that this version cannot read are left out.
        """
        found = self._read(lambda tx: outputs.winners(tx, self._lease.job_id, architecture, limit))
        return [winner for job_id, stored in found if (winner := _parse_winner(job_id, stored)) is not None]

    def _intact(self, output: StageOutput) -> Path | None:
        try:
            return self._retry(lambda: self._artifacts.intact_path(output.sha256))
        except ArtifactNotFound as error:
            log.warning("job %s: the output of stage %s is made again: %s", self._lease.job_id, output.stage, error)
            self._write(lambda tx: outputs.remove(tx, self._lease, output))
            return None

    def _read(self, query: Callable[[Transaction], Value]) -> Value:
        def transaction() -> Value:
            with self._database.read() as tx:
                return query(tx)

        return self._retry(transaction)

    def _write(self, change: Callable[[Transaction], None]) -> None:
        def transaction() -> None:
            with self._database.begin() as tx:
                change(tx)

        self._retry(transaction)

    def _retry(self, operation: Callable[[], Value]) -> Value:
        what = f"job {self._lease.job_id}: its cache"
        return retry_during_outage(operation, check=self._check, wait_s=RETRY_S, what=what)


def owner_key(key: str, owner: str | None) -> str:
    """Return the key of an owner's output. Owners cannot find, or learn of, outputs of other owners."""
    return key if owner is None else sha256(f"{owner}\0{key}".encode()).hexdigest()


def stored_winner(winner: Training) -> Json:
    """Return the winning final training in the form of ``StoredWinner``."""
    return StoredWinner(assignment=winner.assignment, recipe=winner.recipe, learnable=winner.learnable).model_dump()


def _parse_winner(job_id: str, stored: Json) -> Winner | None:
    try:
        winner = StoredWinner.model_validate(stored)
    except ValidationError as error:
        log.warning("job %s: this version cannot read its winner: %s", job_id, error.errors()[0]["msg"])
        return None
    return Winner(job_id, winner.assignment, winner.recipe, winner.learnable)
