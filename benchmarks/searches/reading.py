"""What a cell left in its folder: everything that the tables and the pictures show is read from its report.json."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.searches.variants import PAPER

Report: TypeAlias = Mapping[str, Any]

ALONE = "tune_alone"
"""Stage 2 without stage 1: a comparison, no part of SAFS proper."""
COMMON = ("model", "data", "sparsity", "train", "prune")
"""The parts of a spec that runs must share to be compared; and the epochs of the final trainings."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What runs have in common that are compared with each other."""

    key: str
    """All of it, as JSON."""
    architecture: str
    dataset: str
    sparsity: float
    distribution: str
    batch_size: int
    dense_epochs: int
    final_epochs: int


@dataclass(frozen=True, slots=True)
class Step:
    """A trial of a search, in the order in which they ran."""

    stage: str
    trained: int
    """Epochs that this trial trained itself: without those of the trial that it goes on with."""
    accuracy: float | None
    """Best validation accuracy of any of its epochs; None if it broke down."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Run:
    """A finished cell."""

    variant: str
    seed: int
    setting: Setting
    validation: Mapping[str, float]
    """Row of the report's comparison -> accuracy; the finalists' after the final training."""
    test: Mapping[str, float]
    result: str
    """The row that is handed back: the finalist with the best validation accuracy."""
    steps: tuple[Step, ...]
    trial_epochs: int
    """The longest trial's."""
    seconds: float

    @property
    def searched(self) -> int:
        """Epochs of all searches, without stage 2 alone."""
        return sum(step.trained for step in self.steps if step.stage != ALONE)

    @property
    def final(self) -> str:
        """The best finalist on validation, of those that need no stage 2 alone."""
        finalists = [name for name in self.validation if name not in ("dense", "pruned", "hyperparameters")]
        return max(finalists, key=lambda name: self.validation[name])

    def incumbents(self) -> list[tuple[int, float]]:
        """(epochs spent so far, best validation accuracy of any trial so far), after each trial; without stage 2 alone.

        Trials that broke down cost their epochs and improve nothing.
        """
        points, spent, best = list[tuple[int, float]](), 0, 0.0
        for step in self.steps:
            if step.stage == ALONE:
                continue
            spent += step.trained
            best = max(best, step.accuracy or 0.0)
            points.append((spent, best))
        return points

    def reaches(self, accuracy: float) -> int | None:
        """Epochs after which a trial had at least this validation accuracy; None if none ever had."""
        return next((spent for spent, best in self.incumbents() if best >= accuracy), None)


def read(folder: Path) -> list[Run]:
    """The finished cells under ``folder``, by the names of their folders."""
    return [run_of(json.loads(path.read_text())) for path in sorted(folder.glob("[!.]*/report.json"))]


def run_of(report: Report) -> Run:
    """A report as a run. A job without a name is called after its preset: a plain job by ``paper`` is that schedule."""
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
    )


def setting_of(spec: Report) -> Setting:
    """What a spec has in common with those that it may be compared with."""
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
    """Runs that may be compared with each other, together."""
    found: dict[Setting, list[Run]] = {}
    for run in runs:
        found.setdefault(run.setting, []).append(run)
    return found


def by_variant(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Runs of one setting: variant -> its runs, a seed each; the paper's first."""
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
    """What the report says; a report without it has whole trials alone."""
    if "trained" in trial:
        return int(trial["trained"])
    before = trial.get("continues")
    return int(trial["epochs"] - (ends[before] if before is not None else 0))
