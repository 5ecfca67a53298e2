"""A runner: claims a job, runs the pipeline on Ray, files the result; again, until it is told to stop."""

import errno
import json
import logging
import os
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Any, TypeAlias

import ray
from pydantic import ValidationError

from safs import data, pipeline
from safs.checkpoint import CONFIG, PICTURE, REPORT, WEIGHTS
from safs.errors import Cancelled, SafsError, SpecError, legible
from safs.events import Note
from safs.execution import Executor
from safs.faults import Faults
from safs.keys import code_version
from safs.preflight import blueprint_for
from safs.progress import Tracker, plan_stages
from safs.spec import JobSpec
from search_spaces import SPACES
from store import artifacts, counters, queue, uploads
from store.artifacts import artifact_store
from store.counters import LEASE_LOSSES
from store.crash_points import reach
from store.errors import DatabaseUnavailable, LeaseLost, StorageFull, StoreError
from store.records import Claim, Job, JobError, JobState, Json, StoredArtifact
from store.session import Database
from telemetry import logs, tracing
from workers.capacity import Share, cluster_nodes, divide
from workers.errors import ShuttingDown
from workers.heartbeat import Heartbeat
from workers.janitor import Janitor
from workers.local_ray import start_local_ray
from workers.memory import StoreMemory, stored_winner
from workers.patience import patiently
from workers.probing import measured_share
from workers.ray_executor import RayExecutor
from workers.recorder import Recorder
from workers.settings import WorkerSettings
from workers.tracing import StageSpans

log = logging.getLogger(__name__)

RESULT_FILES = {
    "checkpoint": (WEIGHTS, "application/octet-stream"),
    "config": (CONFIG, "application/json"),
    "report": (REPORT, "application/json"),
    "picture": (PICTURE, "image/png"),
}
"""Artifact name -> file in the result folder, media type."""

Stored: TypeAlias = dict[str, tuple[StoredArtifact, str]]
"""Artifact name -> content, media type."""


class Runner:
    """Runs one job at a time.

    Args:
        stopping: set when the runner is to hand its job back and end.
    """

    def __init__(self, settings: WorkerSettings, database: Database, stopping: Event) -> None:
        self._settings, self._database, self._stopping = settings, database, stopping
        self._artifacts = artifact_store(settings)
        self._janitor = Janitor(database, self._artifacts, settings)

    def run_forever(self) -> None:
        """Claims and runs jobs until ``stopping`` is set."""
        while not self._stopping.is_set():
            try:
                worked = self.run_one()
            except DatabaseUnavailable as error:
                log.warning("%s", error)
                worked = False
            self._janitor.tend(for_s=self._settings.poll_s)
            if not worked:
                self._stopping.wait(self._settings.poll_s)

    def run_one(self) -> bool:
        """Runs the next job, if there is one; whatever goes wrong in it is written to its row, not raised."""
        with self._database.begin() as tx:
            claim = queue.claim(tx, self._settings.name, self._settings.lease_s)
            if claim is not None:
                reach("claim.before_commit")
        if claim is None:
            return False
        reach("claim.after")
        log.info("job %s: claimed, attempt %d", claim.job.id, claim.job.attempt)
        recorder: Recorder | None = None
        known = logs.bound(job=claim.job.id, attempt=claim.job.attempt, owner=claim.job.owner)
        trace = tracing.span("job", parent=claim.job.traceparent, job=claim.job.id, attempt=claim.job.attempt)
        lease_s, every_s = self._settings.lease_s, self._settings.heartbeat_s
        with known, trace, Heartbeat(self._database, claim.lease, lease_s=lease_s, every_s=every_s) as heartbeat:
            try:
                spec = stored_spec(claim.job.spec)
                tracker = Tracker(plan_stages(spec), started_s=time.time())
                recorder = Recorder(self._database, claim.lease, tracker, self._checks(heartbeat))
                self._run(claim, spec, recorder)
            except (LeaseLost, ShuttingDown) as error:
                self._let_go(claim, error)
            except Cancelled:
                self._finish(claim, heartbeat, JobState.CANCELLED)
            except Exception as error:
                failure = job_error(error, recorder.stage if recorder else None)
                self._finish(claim, heartbeat, JobState.FAILED, failure)
        return True

    def _run(self, claim: Claim, spec: JobSpec, recorder: Recorder) -> None:
        self._pin_program(claim, recorder)
        with tempfile.TemporaryDirectory(prefix=f"safs-{claim.job.id}-") as folder:
            with recorder, self._executor(claim, spec, recorder) as executor, StageSpans(recorder) as report:
                result = pipeline.run(
                    spec,
                    spaces=SPACES,
                    executor=executor,
                    report=report,
                    data_root=self._settings.data_folder,
                    dense_weights=self._dense_weights(claim, spec, recorder.check),
                    out_dir=Path(folder),
                    memory=StoreMemory(self._database, self._artifacts, claim.lease, recorder.check, claim.job.owner),
                    faults=_faults(claim.job),
                )
            stored = self._put(claim, result.directory, recorder.check)
            config = json.loads((result.directory / CONFIG).read_text())
            self._file(claim, stored, summary(result.report, config), recorder.check)
        log.info("job %s: succeeded", claim.job.id)

    def _put(self, claim: Claim, folder: Path, check: Callable[[], None]) -> Stored:
        """Stores the result's files; tried again while the object storage is away."""

        def put() -> Stored:
            return {name: (self._artifacts.put(folder / file), kind) for name, (file, kind) in RESULT_FILES.items()}

        return patiently(put, check=check, wait_s=self._settings.poll_s, what=f"job {claim.job.id}: its files")

    def _file(self, claim: Claim, stored: Stored, result: Json, check: Callable[[], None]) -> None:
        """Ends the job with its artifacts, in one transaction; tried again while the database is away."""

        def file() -> None:
            with self._database.begin() as tx:
                for name, (artifact, media_type) in stored.items():
                    artifacts.attach(tx, claim.lease, name, artifact, media_type)
                queue.finish(tx, claim.lease, JobState.SUCCEEDED, result=result)
                reach("finish.before_commit")
            reach("finish.after_commit")

        patiently(file, check=check, wait_s=self._settings.poll_s, what=f"job {claim.job.id}: its result")

    def _executor(self, claim: Claim, spec: JobSpec, recorder: Recorder) -> AbstractContextManager[Executor]:
        info = data.inspect(spec.data, self._settings.data_folder)
        blueprint, nodes = blueprint_for(spec, info), cluster_nodes()
        measured = measured_share(spec, info, blueprint, nodes, recorder.check)
        if measured is not None:
            recorder(Note(measured.message, "info" if measured.gpus else "warning"))
        gpus = measured.gpus if measured is not None else None
        share = divide(nodes, spec.resources, blueprint.image_size, gpus)
        pinned = self._in_flight(claim, share.slots, recorder)
        if pinned != share.slots:
            resources = spec.resources.model_copy(update={"trials_in_parallel": pinned})
            share = divide(nodes, resources, blueprint.image_size, gpus)
        log.info(
            "job %s: %d trainings at once, each with %d cores and %g GPUs",
            claim.job.id,
            share.workers,
            share.cpus,
            share.gpus,
        )
        self._pin_gpus(claim, share, recorder)
        return RayExecutor(share)

    def _pin_program(self, claim: Claim, recorder: Recorder) -> None:
        def pin() -> bool:
            with self._database.begin() as tx:
                return queue.pin_program(tx, claim.lease, code_version())

        what = f"job {claim.job.id}: its program"
        if patiently(pin, check=recorder.check, wait_s=self._settings.poll_s, what=what):
            log.warning("job %s: an earlier attempt ran another version, so its trials are run anew", claim.job.id)

    def _pin_gpus(self, claim: Claim, share: Share, recorder: Recorder) -> None:
        def pin() -> None:
            with self._database.begin() as tx:
                queue.pin_gpus(tx, claim.lease, share.gpus)

        what = f"job {claim.job.id}: its share of a GPU"
        patiently(pin, check=recorder.check, wait_s=self._settings.poll_s, what=what)

    def _in_flight(self, claim: Claim, chosen: int, recorder: Recorder) -> int:
        """How many trials the job keeps in flight: ``chosen``, unless an earlier attempt has begun with another."""

        def pin() -> int:
            with self._database.begin() as tx:
                return queue.pin_in_flight(tx, claim.lease, chosen)

        pinned = patiently(
            pin, check=recorder.check, wait_s=self._settings.poll_s, what=f"job {claim.job.id}: its number in flight"
        )
        if pinned != chosen:
            recorder(
                Note(
                    f"{pinned} trials are in flight, as in the first attempt at this job, so that its search goes on "
                    f"with the same candidates; this machine would have chosen {chosen}"
                )
            )
        return pinned

    def _dense_weights(self, claim: Claim, spec: JobSpec, check: Callable[[], None]) -> Path | None:
        weights = spec.model.weights
        if weights is None:
            return None

        def find() -> Path:
            with self._database.read() as tx:
                upload = uploads.get(tx, weights)
            return self._artifacts.intact_path(upload.sha256)

        return patiently(find, check=check, wait_s=self._settings.poll_s, what=f"job {claim.job.id}: its weights")

    def _checks(self, heartbeat: Heartbeat) -> Callable[[], None]:
        def check() -> None:
            heartbeat.check()
            if self._stopping.is_set():
                raise ShuttingDown("the runner was asked to stop")

        return check

    def _let_go(self, claim: Claim, reason: Exception) -> None:
        if (ended := self._ended(claim)) is not None:
            # Who is cut off in a commit does not learn whether it happened, and finds the lease gone at the next try.
            log.info("job %s: %s; the answer of the database to that was lost", claim.job.id, ended)
            return
        log.warning("job %s: let go: %s", claim.job.id, reason)
        if isinstance(reason, ShuttingDown):
            # A lease that is lost has nothing to hand back; a database that is away lets it expire.
            with suppress(LeaseLost, DatabaseUnavailable), self._database.begin() as tx:
                queue.release(tx, claim.lease)
        else:
            with suppress(DatabaseUnavailable), self._database.begin() as tx:
                counters.add(tx, {LEASE_LOSSES: 1})

    def _ended(self, claim: Claim) -> JobState | None:
        """The final state of the job if this runner has ended it, as far as the database can be asked."""
        with suppress(DatabaseUnavailable), self._database.read() as tx:
            job = queue.get(tx, claim.job.id)
            taken_for_dead = job.runners_lost > claim.job.runners_lost
            if job.state.is_final and job.attempt == claim.job.attempt and not taken_for_dead:
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
            patiently(finish, check=check, wait_s=self._settings.poll_s, what=f"job {claim.job.id}: its end")
        except (LeaseLost, ShuttingDown) as reason:
            self._let_go(claim, reason)


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


def job_error(error: Exception, stage: str | None) -> JobError:
    """Why the job failed, in one sentence; an error that is not ours is named by its type and first line."""
    if isinstance(error, SafsError | StoreError):
        return JobError(error.code, legible(str(error)), stage)
    if _out_of_space(error):
        file = getattr(error, "filename", None)
        folder = legible(str(Path(file).parent if file else tempfile.gettempdir()))
        return JobError(StorageFull.code, f"no space is left in {folder}, or its quota is used up. Free some.", stage)
    first_line = legible(str(error).strip().partition("\n")[0].rstrip("."))
    what = f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
    return JobError("internal_error", f"{what}. The runner's log has the details.", stage)


def _out_of_space(error: Exception) -> bool:
    """Whether a file could not be written for lack of room; safetensors tells it by a text alone."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return full or any(f"{os.strerror(code)} (os error {code})" in str(error) for code in (errno.ENOSPC, errno.EDQUOT))


def _faults(job: Job) -> Faults:
    """What earlier attempts have survived."""
    return Faults(job.runners_lost, job.workers_lost, job.trials_repeated, job.seconds_lost)


def summary(report: Json, config: Json) -> Json:
    """What a list of jobs shows of a finished one, and what later jobs may begin with: report.json, config.json."""
    row = next(row for row in report["rows"] if row["name"] == report["result"])
    return {
        "result": report["result"],
        "validation_accuracy": row["validation_accuracy"],
        "test_accuracy": row["test_accuracy"],
        "sparsity": report["sparsity"]["achieved"],
        "live_weights": report["sparsity"]["live"],
        "gain": report["gain"],
        "winner": stored_winner(config),
    }


def main(settings: WorkerSettings) -> None:
    """Connects to Ray and runs jobs until SIGTERM or SIGINT; a job in progress is handed back."""
    stopping = Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    start_ray(settings)
    # After Ray's start, which puts handlers of its own in place.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    database = Database(settings.database_url)
    log.info("ready: runner %s", settings.name)
    try:
        Runner(settings, database, stopping).run_forever()
    finally:
        database.dispose()
        ray.shutdown()


def start_ray(settings: WorkerSettings) -> None:
    """Connects to the cluster at ``ray_address``, or starts a Ray on this machine that listens on loopback alone."""
    # Tune looks for the log files of trials, which we do not write.
    logging.getLogger("ray.tune.analysis.experiment_analysis").setLevel(logging.ERROR)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING, "namespace": "safs"}
    if settings.ray_address is not None:
        ray.init(settings.ray_address, **quiet)
    else:
        start_local_ray(settings.local_cpus, **quiet)
