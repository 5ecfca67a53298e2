"""One attempt at a job: what its parts share, and how they write while the database comes and goes."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from pydantic import ValidationError

from safs.errors import SpecError
from safs.execution.executor import Executor
from safs.spec.job import JobSpec
from store.artifacts.stored_files import ArtifactStore
from store.records import Claim, Json
from store.session import Database, Transaction
from workers.outage import patiently
from workers.recorder import Recorder
from workers.settings import WorkerSettings

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Attempt:
    """What an attempt at a job has."""

    settings: WorkerSettings
    database: Database
    artifacts: ArtifactStore
    claim: Claim
    spec: JobSpec
    recorder: Recorder

    def patiently(self, ask: Callable[[], Found], what: str) -> Found:
        """What ``ask`` returns; asked again while database or object storage are away, as ``workers.outage`` does.

        Args:
            what: is waited for, in the log.
        """
        job_and_what = f"job {self.claim.job.id}: {what}"
        return patiently(ask, check=self.recorder.check, wait_s=self.settings.poll_s, what=job_and_what)

    def write(self, change: Callable[[Transaction], Found], what: str) -> Found:
        """What ``change`` returns, in a transaction of its own; done again while the database is away."""

        def changed() -> Found:
            with self.database.begin() as tx:
                return change(tx)

        return self.patiently(changed, what)


OpenExecutor: TypeAlias = Callable[[Attempt], AbstractContextManager[Executor]]
"""Opens what the attempt's trainings run on."""


def stored_spec(spec: Json) -> JobSpec:
    """The spec of a job's row.

    Raises:
        SpecError: it was queued by another version, and this one cannot run it.
    """
    try:
        return JobSpec.model_validate(spec)
    except ValidationError as error:
        wrong = error.errors()[0]
        place = ".".join(map(str, wrong["loc"]))
        raise SpecError(
            f"this version cannot run the job's spec: {place}: {wrong['msg']}. Submit it anew.", field=place
        ) from error
