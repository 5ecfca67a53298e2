"""The pipeline's memory in the store: what earlier attempts at the job, and other jobs, left."""

import logging
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from safs.events.kinds import Stage
from safs.execution.executor import EARLIER_ATTEMPT
from safs.reuse.cache import CachedOutput, Winner
from safs.spec.job import Recipe
from safs.trials import Trial
from store import outputs, trials
from store.artifacts.stored_files import ArtifactStore
from store.crash_points import reach
from store.errors import ArtifactNotFound
from store.records import Json, Lease, StageOutput
from store.session import Database, Transaction
from workers.outage import patiently
from workers.trial_records import restored_trial

log = logging.getLogger(__name__)

RETRY_S = 1.0

Found = TypeVar("Found")


class StoredWinner(BaseModel):
    """What ``jobs.result`` says of the finalist that won."""

    assignment: dict[str, str]
    recipe: Recipe
    learnable: bool


class StoreCache:
    """A ``safs.reuse.cache.Cache``: stage outputs are artifacts, trials and winners are rows; those of one owner.

    Args:
        check: raises when the run must end, as ``Recorder``'s; asked while the database is away.
        owner: the job's.
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
        """The output under ``key``; one whose file is lost or damaged counts as absent, and is forgotten."""
        output = self._read(lambda tx: outputs.find(tx, owned(key, self._owner)))
        file = None if output is None else self._intact(output)
        if output is None or file is None:
            return None
        return CachedOutput(file, EARLIER_ATTEMPT if output.job_id == self._lease.job_id else output.job_id)

    def put(self, key: str, stage: Stage, file: Path) -> None:
        """Keeps a copy of ``file`` under ``key``; whoever was first stays. Raises ``LeaseLost``."""
        stored = self._patiently(lambda: self._artifacts.put(file))

        def kept(tx: Transaction) -> None:
            outputs.keep(tx, self._lease, owned(key, self._owner), stage.value, stored)
            reach("stage.before_commit")

        self._write(kept)
        reach("stage.after_commit")

    def trials(self, stage: Stage) -> Sequence[Trial]:
        """The finished trials of this job's stage, by number; one that was interrupted has found nothing."""
        found = self._read(lambda tx: trials.finished(tx, self._lease.job_id, stage.value))
        return [restored_trial(finished) for finished in found]

    def winners(self, architecture: str, limit: int) -> Sequence[Winner]:
        """Winners of the owner's latest jobs on this architecture that had ended when this one was first begun.

        Those that this version cannot read are left out.
        """
        found = self._read(lambda tx: outputs.winners(tx, self._lease.job_id, architecture, limit))
        return [winner for job_id, stored in found if (winner := _restored_winner(job_id, stored)) is not None]

    def _intact(self, output: StageOutput) -> Path | None:
        try:
            return self._patiently(lambda: self._artifacts.intact_path(output.sha256))
        except ArtifactNotFound as error:
            log.warning("job %s: the output of stage %s is made anew: %s", self._lease.job_id, output.stage, error)
            self._write(lambda tx: outputs.forget(tx, self._lease, output))
            return None

    def _read(self, ask: Callable[[Transaction], Found]) -> Found:
        def asked() -> Found:
            with self._database.read() as tx:
                return ask(tx)

        return self._patiently(asked)

    def _write(self, change: Callable[[Transaction], None]) -> None:
        def changed() -> None:
            with self._database.begin() as tx:
                change(tx)

        self._patiently(changed)

    def _patiently(self, ask: Callable[[], Found]) -> Found:
        what = f"job {self._lease.job_id}: its memory"
        return patiently(ask, check=self._check, wait_s=RETRY_S, what=what)


def owned(key: str, owner: str | None) -> str:
    """The key under which an owner's output is kept: nobody finds another's, or learns that there is one."""
    return key if owner is None else sha256(f"{owner}\0{key}".encode()).hexdigest()


def stored_winner(config: Json) -> Json:
    """What config.json tells of the finalist that won, as ``StoredWinner`` reads it."""
    return {
        "assignment": config["assignment"],
        "recipe": config["recipe"],
        "learnable": config["learnable_scalars"],
    }


def _restored_winner(job_id: str, stored: Json) -> Winner | None:
    try:
        winner = StoredWinner.model_validate(stored)
    except ValidationError as error:
        log.warning("job %s: this version cannot read what won it: %s", job_id, error.errors()[0]["msg"])
        return None
    return Winner(job_id, winner.assignment, winner.recipe, winner.learnable)
