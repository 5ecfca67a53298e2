"""Reads the report.json of each cell. Tables and plots show nothing else."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.searches.variants import PAPER
from benchmarks.searches.versions import UNKNOWN, Version, read_version

Report: TypeAlias = Mapping[str, Any]

STAGE_2_ALONE = "tune_alone"
"""The search of stage 2 with the original activations, a comparison that is not part of SAFS."""
COMMON = ("model", "data", "sparsity", "train", "prune")
"""Sections of a spec that runs must share to be compared, besides the epochs of the final trainings."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Everything that runs must share to be compared."""

    key: str
    """All shared sections of the spec, as JSON."""
    architecture: str
    dataset: str
    sparsity: float
    distribution: str
    batch_size: int
    dense_epochs: int
    final_epochs: int


@dataclass(frozen=True, slots=True)
class Step:
    """One trial of a search."""

    stage: str
    trained: int
    """Epochs that this trial trained, without those of the trial that it continues."""
    accuracy: float | None
    """Best validation accuracy of any epoch; None if the trial failed."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Run:
    """The report of a finished cell."""

    variant: str
    seed: int
    setting: Setting
    validation: Mapping[str, float]
    """Row of the report's table -> validation accuracy; for finalists after the final training."""
    test: Mapping[str, float]
    """Row of the report's table -> test accuracy."""
    result: str
    """Row of the result, the finalist with the best validation accuracy."""
    steps: tuple[Step, ...]
    """Trials in the order in which they ran."""
    trial_epochs: int
    """Epochs of the longest trial."""
    seconds: float
    pruning_epochs: int = 0
    """Epochs of the pruning that the result started from."""
    version: Version = UNKNOWN

    @property
    def searched(self) -> int:
        """Epochs that all searches trained, without stage 2 alone."""
        return sum(step.trained for step in self.steps if step.stage != STAGE_2_ALONE)

    @property
    def final(self) -> str:
        """Row of the finalist with the best validation accuracy, without the one of stage 2 alone."""
        finalists = [name for name in self.validation if name not in ("dense", "pruned", "hyperparameters")]
        return max(finalists, key=lambda name: self.validation[name])

    def incumbents(self) -> list[tuple[int, float]]:
        """(epochs so far, best validation accuracy of any trial so far) after each trial, without stage 2 alone.

        A failed trial counts its epochs and does not improve the accuracy.
        """
        points, spent, best = list[tuple[int, float]](), 0, 0.0
        for step in self.steps:
            if step.stage == STAGE_2_ALONE:
                continue
            spent += step.trained
            best = max(best, step.accuracy or 0.0)
            points.append((spent, best))
        return points

    def reaches(self, accuracy: float) -> int | None:
        """Epochs after which a trial first had at least this validation accuracy; None if no trial had."""
        return next((spent for spent, best in self.incumbents() if best >= accuracy), None)


def read(folder: Path) -> list[Run]:
    """Runs of the finished cells under ``folder``, sorted by the names of their folders."""
    paths = sorted(folder.glob("[!.]*/report.json"))
    return [replace(run_of(json.loads(path.read_text())), version=read_version(path.parent)) for path in paths]


def run_of(report: Report) -> Run:
    """A report as a run. The preset names a job without a name, so preset ``paper`` is the variant ``paper``."""
    rows, searches = report["rows"], report["searches"]
    steps = tuple(step for stage, search in searches.items() for step in _steps(stage, search["trials"]))
    return Run(
        variant=report["job"]["name"] or report["job"]["preset"],
        seed=report["job"]["seed"],
        setting=setting_of(report["spec"]),
        validation={row["name"]: row["validation_accuracy"] for row in rows},
        test={row["name"]: row["test_accuracy"] for row in rows},
        result=report["result"],
        steps=steps,
        trial_epochs=max((trial["epochs"] for search in searches.values() for trial in search["trials"]), default=0),
        seconds=report["seconds"],
        pruning_epochs=report.get("prune", {}).get("epochs", 0),
    )


def setting_of(spec: Report) -> Setting:
    """The setting of a spec."""
    common = {name: spec[name] for name in COMMON} | {"final": spec["final"]["epochs"]}
    data = spec["data"]
    return Setting(
        key=json.dumps(common, sort_keys=True),
        architecture=spec["model"]["architecture"],
        dataset=_dataset(data),
        sparsity=spec["sparsity"],
        distribution=spec["prune"]["distribution"],
        batch_size=data["batch_size"],
        dense_epochs=spec["train"]["epochs"],
        final_epochs=spec["final"]["epochs"],
    )


def _dataset(data: Report) -> str:
    name = (data["path"] or data["dataset"]).removesuffix(".npz")
    return f"{name} at {data['image_size']} px" if data["image_size"] else str(name)


def by_setting(runs: Iterable[Run]) -> dict[Setting, list[Run]]:
    """Setting -> its runs."""
    found: dict[Setting, list[Run]] = {}
    for run in runs:
        found.setdefault(run.setting, []).append(run)
    return found


def by_variant(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Variant -> its runs, one for each seed; the paper's schedule is first."""
    found: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: (run.variant != PAPER, run.variant, run.seed)):
        found.setdefault(run.variant, []).append(run)
    return found


def _steps(stage: str, trials: Sequence[Report]) -> list[Step]:
    ends = {trial["number"]: trial["epochs"] for trial in trials}
    return [
        Step(stage, _trained(trial, ends), None if trial["error"] else trial["accuracy"], trial["seconds"])
        for trial in trials
    ]


def _trained(trial: Report, ends: Mapping[int, int]) -> int:
    """Epochs that a trial trained. Older reports do not have the number, and none of their trials stopped early."""
    if "trained" in trial:
        return int(trial["trained"])
    before = trial.get("continues")
    return int(trial["epochs"] - (ends[before] if before is not None else 0))
