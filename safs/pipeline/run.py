"""The whole method in one straight line: dense -> prune search -> prune -> searches -> final -> report."""

import time
from pathlib import Path

from safs import data
from safs.deploy.measure import check_deployable
from safs.errors import TimeLimitReached
from safs.estimates import estimate_before_run
from safs.events.faults import NONE, Faults
from safs.events.kinds import Event, Note, Report, TrialStarted
from safs.events.stage_log import StageLog
from safs.execution.executor import Executor
from safs.execution.work import Context
from safs.networks import Network
from safs.pipeline.dense_stage import dense_network
from safs.pipeline.final_stage import train_finalists
from safs.pipeline.front_stage import points_of
from safs.pipeline.pruning_stages import pruned_starts
from safs.pipeline.result_stage import Result, write_result
from safs.pipeline.search_stages import final_trainings
from safs.pipeline.spaces import Spaces
from safs.pipeline.state import JobContext
from safs.pipeline.targets import deployed_for
from safs.preflight import Preflight, check
from safs.result_folder import check_writable
from safs.reuse.cache import Cache, NoCache
from safs.reuse.cached_executor import CachedExecutor
from safs.reuse.keys import fingerprint, key_of
from safs.spec.job import JobSpec
from safs.training.settings import TrainingData

REPORT_BYTES = 16 * 10**6
"""Room for config, report and picture, beside the checkpoint."""


def run_job(
    spec: JobSpec,
    *,
    spaces: Spaces,
    executor: Executor,
    report: Report,
    data_root: Path | None,
    dense_weights: Path | None,
    out_dir: Path,
    preflight: Preflight | None = None,
    cache: Cache = NoCache(),  # noqa: B008  # has no state
    faults: Faults = NONE,
    began_s: float | None = None,
) -> Result:
    """Prune, search, tune and train; write checkpoint, config, report and picture to ``out_dir``.

    All choices are made on the validation split. The test split is read once, in the last stage.

    Args:
        report: receives every event, in order. An exception that it raises ends the run.
        data_root: folder of the data sets that bring files.
        dense_weights: the file that ``spec.model.weights`` or ``spec.model.network`` names; without weights, the dense
            network is trained.
        preflight: result of ``safs.preflight.check`` if the job was checked already; None checks it now.
        cache: outputs and trials of earlier attempts and earlier jobs.
        faults: faults that earlier attempts survived. The report adds those of this attempt.
        began_s: ``time.monotonic()`` when the job was claimed; None is now.

    Raises:
        SafsError: the job cannot run, ``out_dir`` cannot be written, or a training that the job needs broke down.
        Interrupted: ``report`` ended the run, or ``resources.time_limit_s`` has passed.
    """
    began_s = time.monotonic() if began_s is None else began_s
    report = _with_deadline(report, spec.resources.time_limit_s)
    stage_log = StageLog(report, faults)
    preflight = preflight or check(spec, data_root=data_root, weights=dense_weights)
    check_deployable(*deployed_for(spec))
    check_writable(out_dir, 4 * preflight.parameters + REPORT_BYTES)
    splits = data.load(
        spec.data,
        root=data_root,
        channels=preflight.blueprint.channels,
        image_size=preflight.blueprint.image_size,
        seed=spec.seed,
    )
    for note in (*preflight.notes, *preflight.data.notes, *splits.notes):
        stage_log(Note(note, "warning"))
    data_key = key_of(train=fingerprint(splits.train), validation=fingerprint(splits.validation))
    cached_executor = CachedExecutor(executor, cache, stage_log)
    estimate = estimate_before_run(spec, preflight, splits.train, executor, stage_log, began_s)
    before_s = time.monotonic() - began_s
    job = JobContext(spec, preflight, splits, spaces, stage_log, cache, cached_executor, data_key, estimate, before_s)

    dense = dense_network(job, dense_weights, _dense_context(job))
    starts = pruned_starts(job, dense, _dense_context(job, start=dense.network))
    trainings = final_trainings(job, starts)
    points = points_of(job, trainings, starts, train_finalists(job, trainings, starts))
    return write_result(job, dense.network, points, out_dir)


def _dense_context(job: JobContext, start: Network | None = None) -> Context:
    """The context of the dense training; with ``start``, of what begins with the dense network."""
    return Context(
        blueprint=job.preflight.blueprint,
        data=TrainingData(
            train=job.splits.train,
            validation=job.splits.validation,
            batch_size=job.spec.data.batch_size,
            augment=job.spec.data.augment == "default",
            precision=job.spec.resources.precision,
        ),
        start=None if start is None else start.state,
    )


def _with_deadline(report: Report, limit_s: int | None) -> Report:
    """Return a ``report`` that raises once ``limit_s`` seconds have passed since the first training started.

    The wait for the cores of a shared cluster does not count.
    """
    if limit_s is None:
        return report
    deadline: float | None = None

    def checked(event: Event) -> None:
        nonlocal deadline
        report(event)
        if deadline is None and isinstance(event, TrialStarted):
            deadline = time.monotonic() + limit_s
        if deadline is not None and time.monotonic() > deadline:
            raise TimeLimitReached(f"the job's time limit of {limit_s} s has passed; raise resources.time_limit_s.")

    return checked
