"""The last stage: read the test split, write the result folder, and verify it from its bytes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import copyfile, rmtree
from tempfile import TemporaryDirectory
from typing import Any

from safs import checkpoint
from safs.checkpoint import Verification
from safs.deploy.measure import Deployment, measure_deployment
from safs.deploy.source import compared_images
from safs.estimates import beside_actual
from safs.events.kinds import Note, Stage
from safs.execution.training import Training, score
from safs.networks import Network
from safs.pipeline import report
from safs.pipeline.front_stage import Point, recommended
from safs.pipeline.layer_metrics import Measurements, measure
from safs.pipeline.pruning_stages import pruning_of
from safs.pipeline.state import JobContext
from safs.pipeline.target_costs import measured_latency
from safs.pipeline.targets import Found, deployed_for, target_section
from safs.report import draw_picture
from safs.result_folder import NETWORK, PICTURE, POINT_FOLDERS, REPORT, point_folder
from safs.spec.front import DEFAULT_DROP
from safs.training.evaluate import Evaluation


@dataclass(frozen=True, slots=True)
class Result:
    """A finished job."""

    directory: Path
    """The result folder."""
    report: dict[str, Any]
    """Content of report.json."""
    winner: Training
    """The final training whose network is the result."""


@dataclass(frozen=True, slots=True)
class _Written:
    """A point whose files are on disk."""

    point: Point
    rows: list[report.Row]
    verified: Verification
    deployment: Deployment
    prune: dict[str, Any]


def write_result(job: JobContext, dense: Network, points: Sequence[Point], out_dir: Path) -> Result:
    """Read the test split, write the result folder and verify it. ``out_dir`` gets all of the files or none."""
    out_dir.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".safs-", dir=out_dir) as folder:
        summary, result = _write(job, dense, points, Path(folder))
        for old in out_dir.glob(POINT_FOLDERS):  # from another result
            rmtree(old)
        for file in Path(folder).iterdir():
            file.replace(out_dir / file.name)
    if result.winner.network.blueprint.declared is None:
        (out_dir / NETWORK.filename).unlink(missing_ok=True)  # from another result
    return Result(out_dir, summary, result.winner.training)


def _write(job: JobContext, dense: Network, points: Sequence[Point], folder: Path) -> tuple[dict[str, Any], Point]:
    """Write the result files to ``folder``; return the content of report.json, and the point that is the result."""
    spec, splits, size = job.spec, job.splits, job.spec.data.batch_size
    with job.stage_log.stage(Stage.REPORT) as record:
        networks = [dense, *(network for point in points for network in _networks(point))]
        scores = {
            name: job.executor.measure(score, networks, split, size)
            for name, split in (("validation", splits.validation), ("test", splits.test))
        }
        result = _result(job, points, scores["validation"][0].accuracy)
        written = [
            _write_point(job, point, rows, folder / point_folder(point.sparsity) if spec.front else folder)
            for point, rows in zip(points, _rows(points, dense, scores), strict=True)
        ]
        chosen = next(one for one in written if one.point is result)
        if spec.front:
            for file in (folder / point_folder(result.sparsity)).iterdir():
                copyfile(file, folder / file.name)
        measured = report.networks_to_measure(dense, result.pruned.network, result.finalists, result.winner)
        measurements = job.executor.measure(measure, list(measured.values()), splits.validation, size)
        for entry in chosen.deployment.formats:
            if entry.error is not None:
                job.stage_log(Note(f"the result has no export as {entry.format}: {entry.error}", "warning"))
        own = measurements[list(measured).index(result.winner.name.value)]
        cost = _cost(job, dense, result, chosen.deployment, own)
        target = target_section(job, Found(result.sparsity, result.start.estimated), cost, result.start.checked)
        sparsity = chosen.verified.sparsity
        record.summary = f"sparsity {sparsity.sparsity:.4%}, verified from the bytes on disk"
    summary = report.report(spec, job.preflight, job.stage_log, chosen.rows, result.winner, result.sparsity, sparsity)
    summary["prune"] = chosen.prune
    summary["target"] = target
    summary["layers"] = dict(zip(measured, map(asdict, measurements), strict=True))
    summary["deploy"] = asdict(chosen.deployment)
    if spec.front:
        summary["front"] = [_as_json(one, spec.sparsity or 0.0, recommended=one is chosen) for one in written]
    summary |= beside_actual(job.estimate, job.stage_log, job.before_s)
    report.write(summary, folder / REPORT.filename)
    draw_picture(summary, folder / PICTURE.filename)
    return summary, result


def _result(job: JobContext, points: Sequence[Point], dense_accuracy: float) -> Point:
    """The recommended point; the only one of a job without a front."""
    if job.spec.accuracy_floor is not None:
        return recommended(points, lowest_accuracy=job.spec.accuracy_floor)
    drop = DEFAULT_DROP if job.spec.accuracy_drop is None else job.spec.accuracy_drop
    return recommended(points, lowest_accuracy=dense_accuracy - drop)


def _networks(point: Point) -> list[Network]:
    """The pruned network, and the networks of all finalists."""
    trained = [trained.network for finalist in point.finalists for trained in finalist.trained if trained.network]
    return [point.pruned.network, *trained]


def _rows(points: Sequence[Point], dense: Network, scores: report.Scores) -> list[list[report.Row]]:
    """The rows of each point's comparison.

    Args:
        scores: of the dense network, then of ``_networks`` of each point.
    """
    tables, at = list[list[report.Row]](), 1
    for point in points:
        end = at + len(_networks(point))
        own: dict[str, list[Evaluation]] = {name: [found[0], *found[at:end]] for name, found in scores.items()}
        tables.append(report.rows(point.finalists, [dense, point.pruned.network], own))
        at = end
    return tables


def _write_point(job: JobContext, point: Point, rows: list[report.Row], folder: Path) -> _Written:
    """Write checkpoint and config of a point, verify them, and measure them in use.

    The spec in the config is that of a job at this sparsity alone.
    """
    folder.mkdir(exist_ok=True)
    winner, spec = point.winner, job.spec
    alone = spec
    if spec.front:
        changes = {"sparsity": point.sparsity, "front": None, "accuracy_drop": None, "accuracy_floor": None}
        alone = spec.model_copy(update=changes)
    prune = pruning_of(job, winner.name, point.pruned)
    details = {
        "spec": alone.model_dump(mode="json"),
        "sparsity": point.sparsity,
        "prune": prune,
        "recipe": winner.training.recipe.model_dump(mode="json"),
        "learnable_scalars": winner.training.learnable,
        "candidate": winner.name,
        "seeds": {"job": spec.seed, "training": winner.best_seed},
        "in_flight": job.executor.slots,
        "input": report.input_statistics(job.preflight.blueprint, job.splits.train),
        "evaluation": next(row for row in rows if row["name"] == winner.name),
    }
    checkpoint.save(folder, winner.network, details)
    verified = checkpoint.verify(folder)
    deployment = measure_deployment(folder, *deployed_for(spec), compared_images(job.splits.validation))
    return _Written(point, rows, verified, deployment, prune)


def _cost(
    job: JobContext, dense: Network, result: Point, deployment: Deployment, measurements: Measurements
) -> float | None:
    """The measured cost of the result in the unit of the job's target; None if there is no target or no measurement."""
    match job.spec.target and job.spec.target.measure:
        case "flops":
            return measurements.totals.flops_sparse / measurements.totals.flops_dense
        case "bytes":
            return next(entry.size_bytes for entry in deployment.formats if entry.format == "compact")
        case "latency":
            return measured_latency(job, dense, result.winner.network)
    return None


def _as_json(written: _Written, searched: float, *, recommended: bool) -> dict[str, Any]:
    """A point as an entry of ``front`` in report.json."""
    point, sparsity = written.point, written.verified.sparsity
    row = next(row for row in written.rows if row["name"] == point.winner.name)
    return {
        "sparsity": point.sparsity,
        "live": sparsity.live,
        "result": point.winner.name.value,
        "validation_accuracy": row["validation_accuracy"],
        "test_accuracy": row["test_accuracy"],
        "recommended": recommended,
        "searched": point.sparsity == searched,
        "rows": written.rows,
        "size_bytes": min(_sizes(written.deployment)),
        "deploy": asdict(written.deployment),
    }


def _sizes(deployment: Deployment) -> list[int]:
    """Bytes of the checkpoint, and of each format that the result was exported in."""
    return [deployment.checkpoint_bytes, *(one.size_bytes for one in deployment.formats if one.size_bytes is not None)]
