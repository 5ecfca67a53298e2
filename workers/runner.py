"""The runner: claims a job, runs the pipeline, stores the result, and repeats until it is stopped."""

import logging
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Event
from typing import Self

from safs.data import uploaded
from safs.errors import Cancelled
from safs.events.faults import Faults
from safs.events.plan import plan_stages
from safs.events.progress import Tracker
from safs.pipeline.run import run_job
from safs.preflight import check
from safs.reuse.keys import code_version
from search_spaces import SPACES
from store import attempts, counters, jobs, queue, uploads
from store.artifacts.stored_files import artifact_store
from store.counters import LEASE_LOSSES
from store.crash_points import reach
from store.errors import DatabaseUnavailable, LeaseLost, StoreError
from store.records import Claim, JobError, JobState
from store.session import Database
from telemetry import logs, tracing
from workers.attempt import Attempt, OpenExecutor, stored_spec
from workers.errors import ShuttingDown
from workers.failure_reason import job_error
from workers.heartbeat import Heartbeat
from workers.janitor import Janitor
from workers.job_spans import StageSpans
from workers.on_ray.allocation import RayAllocation
from workers.outage import retry_during_outage
from workers.recorder import Recorder
from workers.result_files import file_result
from workers.settings import WorkerSettings
from workers.store_cache import StoreCache

log = logging.getLogger(__name__)

LONGEST_BACKOFF_S = 30.0
"""Longest wait, in seconds, after an error while a job is claimed or ended."""


class Runner:
    """Runs one job at a time, and keeps its workers for the next one until it is closed.

    Args:
        stopping: set to stop the runner; its job returns to the queue.
        open_executor: opens the executor of an attempt; by default one on this process's Ray.
        cluster: address of the Ray cluster that this runner shares with others; None if it has a Ray of its own.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        database: Database,
        stopping: Event,
        open_executor: OpenExecutor | None = None,
        cluster: str | None = None,
    ) -> None:
        self._settings, self._database, self._stopping = settings, database, stopping
        self._ray = RayAllocation(settings, cluster)
        self._open_executor = open_executor or self._ray.open
        self._artifacts = artifact_store(settings)
        self._janitor = Janitor(database, self._artifacts, settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers that are kept for a next job."""
        self._ray.close()

    def run_forever(self) -> None:
        """Claim and run jobs until ``stopping`` is set.

        An error while a job is claimed or ended, such as a database that has become read-only, does not end the runner.
        It waits, twice as long after each failure in a row and up to ``LONGEST_BACKOFF_S``, and tries again. The lease
        of a job that could not be ended expires, and the next attempt ends it.
        """
        with self:
            self._run_until_stopped()

    def _run_until_stopped(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                ran_a_job = self.run_one()
                if not ran_a_job:
                    self._ray.rest(self._database)
                failures = 0
            except Exception as error:
                ran_a_job, failures = False, failures + 1
                wait_s = min(self._settings.poll_s * 2**failures, LONGEST_BACKOFF_S)
                expected = isinstance(error, StoreError)
                message = str(error) if expected else f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
                log.warning("the runner tries again in %g s: %s", wait_s, message, exc_info=not expected)
                self._stopping.wait(wait_s)
                continue
            self._janitor.run(for_s=self._settings.poll_s)
            if not ran_a_job:
                self._stopping.wait(self._settings.poll_s)

    def run_one(self) -> bool:
        """Run the next queued job and return True; return False if none is queued.

        An error in the job is written to its row, not raised.
        """
        with self._database.begin() as tx:
            claim = queue.claim(tx, self._settings.name, self._settings.lease_s, self._ray.cluster)
            if claim is not None:
                reach("claim.before_commit")
        if claim is None:
            return False
        began_s = time.monotonic()
        reach("claim.after")
        log.info("job %s: claimed, attempt %d", claim.job.id, claim.job.attempt)
        recorder: Recorder | None = None
        log_fields = logs.bound(job=claim.job.id, attempt=claim.job.attempt, owner=claim.job.owner)
        trace = tracing.span("job", parent=claim.job.traceparent, job=claim.job.id, attempt=claim.job.attempt)
        lease_s, every_s = self._settings.lease_s, self._settings.heartbeat_s
        with log_fields, trace, Heartbeat(self._database, claim.lease, lease_s=lease_s, every_s=every_s) as heartbeat:
            try:
                spec = stored_spec(claim.job.spec)
                tracker = Tracker(plan_stages(spec), started_s=time.time())
                recorder = Recorder(self._database, claim.lease, tracker, self._check(heartbeat))
                self._run(Attempt(self._settings, self._database, self._artifacts, claim, spec, recorder), began_s)
            except (LeaseLost, ShuttingDown) as error:
                self._give_up(claim, error)
            except Cancelled:
                self._finish(claim, heartbeat, JobState.CANCELLED)
            except Exception as error:
                failure = job_error(error, recorder.stage if recorder else None)
                self._finish(claim, heartbeat, JobState.FAILED, failure)
        return True

    def _run(self, attempt: Attempt, began_s: float) -> None:
        """Run the pipeline and end the job as succeeded. ``began_s`` is the time of the claim (``time.monotonic``)."""
        job, recorder = attempt.claim.job, attempt.recorder
        _pin_program(attempt)
        weights = _file_of(attempt, attempt.spec.model.file, "its weights")
        data_file = _file_of(attempt, attempt.spec.data.upload, "its data")
        with ExitStack() as stack:
            data_root = stack.enter_context(uploaded.opened(data_file)) if data_file else self._settings.data_folder
            preflight = check(attempt.spec, data_root=data_root, weights=weights)
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=f"safs-{job.id}-"))
            with recorder, self._open_executor(attempt, preflight) as executor, StageSpans(recorder) as report:
                result = run_job(
                    attempt.spec,
                    preflight=preflight,
                    spaces=SPACES,
                    executor=executor,
                    report=report,
                    data_root=data_root,
                    dense_weights=weights,
                    out_dir=Path(folder),
                    cache=StoreCache(self._database, self._artifacts, attempt.claim.lease, recorder.check, job.owner),
                    faults=Faults(job.runners_lost, job.workers_lost, job.trials_repeated, job.seconds_lost),
                    began_s=began_s,
                )
            file_result(attempt, result)
        log.info("job %s: succeeded", job.id)

    def _check(self, heartbeat: Heartbeat) -> Callable[[], None]:
        def check() -> None:
            heartbeat.check()
            if self._stopping.is_set():
                raise ShuttingDown("the runner was asked to stop")

        return check

    def _give_up(self, claim: Claim, reason: Exception) -> None:
        if (ended := self._ended(claim)) is not None:
            # The connection broke during the commit that ended the job, so the retry found the lease gone.
            log.info("job %s: %s; the database's answer to the commit was lost", claim.job.id, ended)
            return
        log.warning("job %s: given up: %s", claim.job.id, reason)
        if isinstance(reason, ShuttingDown):
            # A lost lease needs no release. If the database is away, the lease expires.
            with suppress(LeaseLost, DatabaseUnavailable), self._database.begin() as tx:
                queue.release(tx, claim.lease)
        else:
            with suppress(DatabaseUnavailable), self._database.begin() as tx:
                counters.add(tx, {LEASE_LOSSES: 1})

    def _ended(self, claim: Claim) -> JobState | None:
        """Return the final state of the job if this attempt ended it; None if not, or if the database is away."""
        with suppress(DatabaseUnavailable), self._database.read() as tx:
            job = jobs.get(tx, claim.job.id)
            taken_over = job.runners_lost > claim.job.runners_lost
            if job.state.is_final and job.attempt == claim.job.attempt and not taken_over:
                return job.state
        return None

    def _finish(self, claim: Claim, heartbeat: Heartbeat, state: JobState, error: JobError | None = None) -> None:
        if error is not None:
            tracing.fail(error.message)
            log.error("job %s: %s", claim.job.id, error.message, exc_info=error.code == "internal_error")

        def check() -> None:
            with suppress(Cancelled):
                heartbeat.check()
            if self._stopping.is_set():
                raise ShuttingDown("the runner was asked to stop")

        def finish() -> None:
            with self._database.begin() as tx:
                queue.finish(tx, claim.lease, state, error=error)

        try:
            retry_during_outage(finish, check=check, wait_s=self._settings.poll_s, what=f"job {claim.job.id}: its end")
        except (LeaseLost, ShuttingDown) as reason:
            self._give_up(claim, reason)


def _pin_program(attempt: Attempt) -> None:
    if attempt.write(lambda tx: attempts.pin_program(tx, attempt.claim.lease, code_version()), "its program"):
        job_id = attempt.claim.job.id
        log.warning("job %s: an earlier attempt ran another version, so its trials are run again", job_id)


def _file_of(attempt: Attempt, upload_id: str | None, what: str) -> Path | None:
    """The file of an upload; None without an upload. Retried while the database is away."""
    if upload_id is None:
        return None

    def find() -> Path:
        with attempt.database.read() as tx:
            upload = uploads.get(tx, upload_id)
        return attempt.artifacts.intact_path(upload.sha256)

    return attempt.retry(find, what)
