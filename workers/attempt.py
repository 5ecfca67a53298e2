"""One attempt at a job: what its parts share, and writes that are retried while the database is away."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from pydantic import ValidationError

from safs.errors import SpecError
from safs.execution.executor import Executor
from safs.preflight import Preflight
from safs.spec.job import JobSpec
from store.artifacts.stored_files import ArtifactStore
from store.records import Claim, Json
from store.session import Database, Transaction
from workers.outage import retry_during_outage
from workers.recorder import Recorder
from workers.settings import WorkerSettings

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Attempt:
    """A claimed job with everything that its run needs."""

    settings: WorkerSettings
    database: Database
    artifacts: ArtifactStore
    claim: Claim
    spec: JobSpec
    recorder: Recorder

    def retry(self, operation: Callable[[], Value], what: str) -> Value:
        """Return ``operation()``; retry it while the database or the object storage is away.

        Args:
            what: subject of the log message while it waits, such as "its weights".
        """
        job_and_what = f"job {self.claim.job.id}: {what}"
        return retry_during_outage(operation, check=self.recorder.check, wait_s=self.settings.poll_s, what=job_and_what)

    def write(self, change: Callable[[Transaction], Value], what: str) -> Value:
        """Return ``change(tx)``, run in a transaction of its own; retry it while the database is away."""

        def transaction() -> Value:
            with self.database.begin() as tx:
                return change(tx)

        return self.retry(transaction, what)


OpenExecutor: TypeAlias = Callable[[Attempt, Preflight], AbstractContextManager[Executor]]
"""Opens the executor that runs an attempt's trainings."""


def stored_spec(spec: Json) -> JobSpec:
    """Parse the spec in a job's row.

    Raises:
        SpecError: another version queued the job, and this one cannot run it.
    """
    try:
        return JobSpec.model_validate(spec)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise SpecError(
            f"this version cannot run the job's spec: {field}: {first['msg']}. Submit it again.", field=field
        ) from error
