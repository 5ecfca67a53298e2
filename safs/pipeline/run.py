"""The whole method in one straight line: dense -> prune search -> prune -> searches -> final -> report."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safs import checkpoint, data
from safs.deploy.measure import check_deployable, measure_deployment
from safs.deploy.source import compared_images
from safs.errors import TimeLimitReached, TrainingError
from safs.estimates import beside_actual, estimate_before_run
from safs.events.faults import NONE, Faults
from safs.events.kinds import Event, Note, Report, Stage, TrialStarted
from safs.events.stage_log import StageLog
from safs.execution.executor import Executor, Task
from safs.execution.training import Training, score
from safs.execution.work import Context
from safs.models.declared.file import read_state
from safs.models.weights import load_dense_weights
from safs.networks import Network
from safs.pipeline import report
from safs.pipeline.final_stage import train_finalists
from safs.pipeline.finalists import Finalist, best_finalist
from safs.pipeline.layer_metrics import measure
from safs.pipeline.pruning_stages import Starts, pruned_starts, pruning_of
from safs.pipeline.search_stages import final_trainings
from safs.pipeline.spaces import Spaces
from safs.pipeline.state import JobContext, KeyedNetwork, recipe_of, with_advice
from safs.preflight import Preflight, check
from safs.report import draw_picture
from safs.result_folder import NETWORK, PICTURE, REPORT, check_writable
from safs.reuse.cache import Cache, NoCache
from safs.reuse.cached_executor import CachedExecutor, KeyedWork
from safs.reuse.keys import file_hash, fingerprint, key_of
from safs.spec.job import JobSpec
from safs.training.settings import TrainingData
from safs.trials import Candidate

REPORT_BYTES = 16 * 10**6
"""Room for config, report and picture, beside the checkpoint."""


@dataclass(frozen=True, slots=True)
class Result:
    """A finished job."""

    directory: Path
    """The result folder."""
    report: dict[str, Any]
    """Content of report.json."""
    winner: Training
    """The final training whose network is the result."""


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
    check_deployable(spec.deploy.formats, spec.deploy.runtime)
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

    dense = _dense(job, dense_weights)
    starts = pruned_starts(job, dense, _dense_context(job, start=dense.network))
    finalists = train_finalists(job, final_trainings(job, starts), starts)
    return _report(job, dense.network, starts, finalists, out_dir)


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


def _dense(job: JobContext, weights: Path | None) -> KeyedNetwork:
    """The dense network: with the given weights, or trained with the default protocol's recipe."""
    spec, blueprint = job.spec, job.preflight.blueprint
    if (given := _given_network(job, weights)) is not None:
        return given
    if weights is not None and spec.model.network is None:
        with job.stage_log.stage(Stage.DENSE) as record:
            model = blueprint.build()
            load_dense_weights(weights, model)
            record.summary = "the given dense weights are used"
            network = Network(blueprint, {name: value.clone() for name, value in model.state_dict().items()})
            return KeyedNetwork(network, key_of(data=job.data_key, model=blueprint, weights=file_hash(weights)))
    train = spec.train
    with job.stage_log.stage(Stage.DENSE, trials=1, epochs=train.epochs) as record:
        training = Training({}, recipe_of(train), train.epochs, spec.seed)
        key = key_of(data=job.data_key, model=blueprint, batches=job.precise_batches, work=training)
        work = Task(Candidate(0, {}, train.epochs, spec.seed), training)
        trained = job.executor.train(record, [KeyedWork(key, work)], _dense_context(job))[0]
        if trained.network is None:
            raise TrainingError(f"dense training broke down: {with_advice(trained.outcome)}")
        record.summary = f"dense validation accuracy {trained.outcome.metrics['accuracy']:.1%}"
        return KeyedNetwork(trained.network, key)


def _given_network(job: JobContext, file: Path | None) -> KeyedNetwork | None:
    """The own network with the weights in its file; None if the job names an architecture, or the file has none."""
    blueprint = job.preflight.blueprint
    if job.spec.model.network is None or file is None or blueprint.declared is None:
        return None
    state = read_state(file, blueprint.declared.document)
    if state is None:
        return None
    with job.stage_log.stage(Stage.DENSE) as record:
        record.summary = "the given network is used"
        return KeyedNetwork(
            Network(blueprint, state), key_of(data=job.data_key, model=blueprint, weights=file_hash(file))
        )


def _report(job: JobContext, dense: Network, starts: Starts, finalists: list[Finalist], out_dir: Path) -> Result:
    """Read the test split, write the result folder and verify it. ``out_dir`` gets all of the files or none."""
    winner = best_finalist(finalists)
    out_dir.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".safs-", dir=out_dir) as folder:
        summary = _write(job, dense, starts, finalists, winner, Path(folder))
        for file in Path(folder).iterdir():
            file.replace(out_dir / file.name)
    if winner.network.blueprint.declared is None:
        (out_dir / NETWORK.filename).unlink(missing_ok=True)  # from another result
    return Result(out_dir, summary, winner.training)


def _write(
    job: JobContext, dense: Network, starts: Starts, finalists: list[Finalist], winner: Finalist, folder: Path
) -> dict[str, Any]:
    """Write the result files to ``folder``; return the content of report.json."""
    pruned = starts.chosen.network
    with job.stage_log.stage(Stage.REPORT) as record:
        networks = [dense, pruned, *(trained.network for f in finalists for trained in f.trained if trained.network)]
        size, splits = job.spec.data.batch_size, job.splits
        scores = {
            name: job.executor.measure(score, networks, split, size)
            for name, split in (("validation", splits.validation), ("test", splits.test))
        }
        rows = report.rows(finalists, [dense, pruned], scores)
        measured = report.networks_to_measure(dense, pruned, finalists, winner)
        measurements = job.executor.measure(measure, list(measured.values()), splits.validation, size)
        details = {
            "spec": job.spec.model_dump(mode="json"),
            "prune": pruning_of(job, winner.name, starts),
            "recipe": winner.training.recipe.model_dump(mode="json"),
            "learnable_scalars": winner.training.learnable,
            "candidate": winner.name,
            "seeds": {"job": job.spec.seed, "training": winner.best_seed},
            "in_flight": job.executor.slots,
            "input": report.input_statistics(job.preflight.blueprint, job.splits.train),
            "evaluation": next(row for row in rows if row["name"] == winner.name),
        }
        checkpoint.save(folder, winner.network, details)
        verified = checkpoint.verify(folder)
        deployment = measure_deployment(
            folder, job.spec.deploy.formats, job.spec.deploy.runtime, compared_images(splits.validation)
        )
        for entry in deployment.formats:
            if entry.error is not None:
                job.stage_log(Note(f"the result has no export as {entry.format}: {entry.error}", "warning"))
        record.summary = f"sparsity {verified.sparsity.sparsity:.4%}, verified from the bytes on disk"
    summary = report.report(job.spec, job.preflight, job.stage_log, rows, winner, verified.sparsity)
    summary["prune"] = details["prune"]
    summary["layers"] = dict(zip(measured, map(asdict, measurements), strict=True))
    summary["deploy"] = asdict(deployment)
    summary |= beside_actual(job.estimate, job.stage_log, job.before_s)
    report.write(summary, folder / REPORT.filename)
    draw_picture(summary, folder / PICTURE.filename)
    return summary


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
