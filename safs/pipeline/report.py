"""report.json: the comparison, trials, curves and times of a job in one document."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from safs.checkpoint import versions
from safs.data import Split
from safs.events.kinds import Stage
from safs.events.stage_log import StageLog, StageRecord
from safs.json_form import to_json
from safs.metrics.sparsity import SparsityReport
from safs.networks import Blueprint, Network
from safs.pipeline.finalists import Finalist
from safs.preflight import Preflight
from safs.spec.final import FinalCandidate
from safs.spec.job import JobSpec
from safs.training.evaluate import Evaluation
from safs.trials import Trial

FORMAT = 1
LABELS = {
    "dense": "dense network",
    "pruned": "pruned, before fine-tuning",
    FinalCandidate.ONE_SHOT: "one-shot pruning, default protocol",
    FinalCandidate.DEFAULT: "default protocol",
    FinalCandidate.ACTIVATIONS: "activations alone",
    FinalCandidate.HYPERPARAMETERS: "hyperparameters alone",
    FinalCandidate.SAFS: "SAFS (both)",
    FinalCandidate.JOINT: "both at once",
}
Row = dict[str, Any]
Scores = Mapping[str, Sequence[Evaluation]]
"""Split name -> one evaluation per network: dense, pruned, then each finalist's seeds in order."""


def rows(finalists: Sequence[Finalist], untrained: Sequence[Network], scores: Scores) -> list[Row]:
    """The rows of the comparison: dense, pruned, and the finalists with their means over seeds.

    Args:
        untrained: the dense and the pruned network.
    """
    table = [
        _row(name, [network], {split: [evaluations[index]] for split, evaluations in scores.items()})
        for index, (name, network) in enumerate(zip(("dense", "pruned"), untrained, strict=True))
    ]
    at = len(untrained)
    for finalist in finalists:
        networks = [trained.network for trained in finalist.trained if trained.network]
        if networks:
            own = {split: evaluations[at : at + len(networks)] for split, evaluations in scores.items()}
            table.append(_row(finalist.name.value, networks, own))
        at += len(networks)
    return table


def report(
    spec: JobSpec,
    preflight: Preflight,
    stage_log: StageLog,
    table: list[Row],
    winner: Finalist,
    target: float,
    sparsity: SparsityReport,
) -> dict[str, Any]:
    """The content of report.json, without the measurements by layer and the cost of the job.

    Args:
        target: sparsity of the result: the job's, or that of the recommended point of its front.
    """
    by_name = {row["name"]: row for row in table}
    result, default = by_name[winner.name.value], by_name.get(FinalCandidate.DEFAULT.value)
    return {
        "format": FORMAT,
        "job": {
            "name": spec.name,
            "architecture": preflight.blueprint.architecture,
            "identity": preflight.blueprint.identity,
            "dataset": spec.data.dataset,
            "sparsity": target,
            "preset": spec.preset,
            "seed": spec.seed,
        },
        "spec": spec.model_dump(mode="json"),
        "result": winner.name.value,
        "sparsity": {
            "target": target,
            "achieved": sparsity.sparsity,
            "weights": sparsity.weights,
            "live": sparsity.live,
            "stored": sparsity.stored,
            "layers": [asdict(layer) for layer in sparsity.layers],
        },
        "rows": table,
        "gain": {
            split: None if default is None else result[f"{split}_accuracy"] - default[f"{split}_accuracy"]
            for split in ("validation", "test")
        },
        "gains": _gains(by_name, winner),
        "inputs": _inputs(winner.network.blueprint),
        "sites": _sites(preflight, winner),
        "recipe": winner.training.recipe.model_dump(mode="json"),
        "learnable_scalars": winner.training.learnable,
        "stages": [_stage(record) for record in stage_log.stages.values()],
        "searches": _searches(spec, stage_log),
        "curves": _curves(stage_log),
        "notes": list(stage_log.notes),
        "faults": asdict(stage_log.faults),
        "versions": versions(),
        "seconds": sum(record.seconds for record in stage_log.stages.values()),
    }


def _gains(by_name: Mapping[str, Row], winner: Finalist) -> dict[str, float]:
    """Gains of the result's parts in test accuracy, as far as the comparison has the rows.

    ``pruning``: the job's pruning over one-shot pruning, both with the default protocol. ``activations`` and
    ``recipe``: the operators and the recipe that were searched, each alone, over the default protocol from the same
    pruned network. ``search``: the result over the default protocol from the same pruned network. ``all``: the result
    over one-shot pruning with the default protocol.
    """
    pairs = {
        "pruning": (FinalCandidate.DEFAULT, FinalCandidate.ONE_SHOT),
        "activations": (FinalCandidate.ACTIVATIONS, FinalCandidate.DEFAULT),
        "recipe": (FinalCandidate.HYPERPARAMETERS, FinalCandidate.DEFAULT),
        "search": (winner.name, FinalCandidate.DEFAULT),
        "all": (winner.name, FinalCandidate.ONE_SHOT),
    }
    return {
        part: by_name[better]["test_accuracy"] - by_name[worse]["test_accuracy"]
        for part, (better, worse) in pairs.items()
        if {better, worse} <= by_name.keys()
    }


def networks_to_measure(
    dense: Network, pruned: Network, finalists: Sequence[Finalist], winner: Finalist
) -> dict[str, Network]:
    """Row name -> network to measure layer by layer: dense, pruned, the default protocol's and the result.

    The default protocol's network and the result differ by the searches alone, so the two show what these changed.
    """
    default = next(finalist for finalist in finalists if finalist.name == FinalCandidate.DEFAULT)
    networks = {"dense": dense, "pruned": pruned}
    if default.error is None:
        networks[default.name.value] = default.network
    return networks | {winner.name.value: winner.network}


def write(summary: Mapping[str, Any], path: Path) -> None:
    """Write report.json to ``path``."""
    path.write_text(json.dumps(to_json(summary), indent=2, allow_nan=False) + "\n")


def input_statistics(blueprint: Blueprint, train: Split) -> dict[str, Any]:
    """The input of the network: pixels are divided by ``scale``, then normalised with ``mean`` and ``std``."""
    return {
        "channels": blueprint.channels,
        "image_size": blueprint.image_size,
        "classes": blueprint.classes,
        "scale": train.scale,
        "mean": (train.mean / train.scale).tolist(),
        "std": (train.std / train.scale).tolist(),
    }


def _inputs(blueprint: Blueprint) -> dict[str, Any] | None:
    """The pixels or channels that the network reads; None if it reads all of them."""
    kept = blueprint.form.inputs
    return None if kept is None else asdict(kept) | {"channels": blueprint.channels, "image_size": blueprint.image_size}


def _row(name: str, networks: Sequence[Network], scores: Scores) -> Row:
    sparsity = networks[0].sparsity()
    row: Row = {"name": name, "label": LABELS[name], "repeats": len(networks)}
    for split, evaluations in scores.items():
        row[f"{split}_accuracy"] = fmean(evaluation.accuracy for evaluation in evaluations)
        row[f"{split}_cross_entropy"] = fmean(evaluation.cross_entropy for evaluation in evaluations)
        row[f"{split}_accuracies"] = [evaluation.accuracy for evaluation in evaluations]
    return row | {
        "sparsity": sparsity.sparsity,
        "weights": sparsity.weights,
        "live_weights": sparsity.live,
        "stored_weights": sparsity.stored,
    }


def _sites(preflight: Preflight, winner: Finalist) -> list[dict[str, Any]]:
    network = winner.network
    return [
        {
            "path": site.path,
            "own": site.original,
            "chosen": network.assignment.get(site.path, site.original),
            "scalars": network.scalars.get(site.path, {}),
        }
        for site in preflight.sites
    ]


def _stage(record: StageRecord) -> dict[str, Any]:
    return {
        "stage": record.stage.value,
        "seconds": record.seconds,
        "trials": len(record.trials),
        "failed": record.failed,
        "best_accuracy": record.best_accuracy,
        "summary": record.summary,
        "reused": sorted(record.recalled),
    }


def _searches(spec: JobSpec, stage_log: StageLog) -> dict[str, Any]:
    strategies = {
        Stage.PRUNE_SEARCH: "asha",
        Stage.ACTIVATIONS: spec.activations.strategy,
        Stage.TUNE: spec.tune.strategy,
        Stage.TUNE_ALONE: spec.tune.strategy,
        Stage.JOINT: spec.joint.strategy,
    }
    return {
        stage.value: {"strategy": strategy, "trials": _trials(stage_log.stages[stage].trials)}
        for stage, strategy in strategies.items()
        if stage in stage_log.stages
    }


def _trials(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    reached: dict[int | None, int] = {trial.candidate.number: len(trial.outcome.curve) for trial in trials}
    return [_trial(trial, reached.get(trial.candidate.continues, 0)) for trial in trials]


def _trial(trial: Trial, before: int) -> dict[str, Any]:
    """The trial as JSON. The trial that it continues trained the first ``before`` epochs."""
    candidate, outcome = trial.candidate, trial.outcome
    return {
        "number": candidate.number,
        "config": candidate.config,
        "epochs": candidate.epochs,
        "accuracy": outcome.metrics.get("accuracy"),
        "cross_entropy": outcome.metrics.get("cross_entropy"),
        "seconds": outcome.seconds,
        "error": outcome.error,
        "left": outcome.left,
        "continues": candidate.continues,
        "trained": len(outcome.curve) - before,
    }


def _curves(stage_log: StageLog) -> dict[str, Any]:
    """Learning curves of the dense training and of each finalist's first seed."""
    curves: dict[str, Any] = {}
    for stage in (Stage.DENSE, Stage.FINAL):
        for trial in stage_log.stages[stage].trials:
            name = str(trial.candidate.config.get("candidate", "dense"))
            curves.setdefault(name, to_json(trial.outcome.curve))
    return curves
