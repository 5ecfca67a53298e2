"""The points of a front are at least as accurate as jobs of their own at the same sparsities."""

from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest

from safs.execution.serial import SerialExecutor
from safs.pipeline.run import run_job
from safs.reuse.cache import FolderCache
from safs.spec.job import JobSpec
from search_spaces import SPACES

SPARSITIES = [0.9, 0.95, 0.98]
SEEDS = (0, 1, 2)
SGD = {"optimizer": "sgd", "learning_rate": 3e-2, "momentum": 0.9}
LEAST_DEVIATION = 0.01
"""Differences below a point are noise, however close the seeds are to each other."""


def accuracies(folder: Path, cache: FolderCache, sparsity: float | list[float], seed: int) -> list[float]:
    """Test accuracy of each point of the job, or of its result."""
    body: dict[str, Any] = {
        "model": {"architecture": "mlp"},
        "data": {"dataset": "digits", "batch_size": 64},
        "sparsity": sparsity,
        "preset": "quick",
        "train": {"epochs": 10},
        "prune": {"schedule": "cubic", "distribution": "global", "epochs": 4, "recipe": SGD},
        "joint": {"trials": 4, "epochs": 4},
        "final": {"epochs": 8, "candidates": ["default", "joint"]},
        "deploy": {"formats": []},
        "seed": seed,
    }
    report = run_job(
        JobSpec.model_validate(body),
        spaces=SPACES,
        executor=SerialExecutor(),
        report=lambda event: None,
        data_root=None,
        dense_weights=None,
        out_dir=folder,
        cache=cache,
    ).report
    if "front" in report:
        return [point["test_accuracy"] for point in report["front"]]
    return [row["test_accuracy"] for row in report["rows"] if row["name"] == report["result"]]


@pytest.mark.exhaustive
def test_a_point_is_no_more_than_one_deviation_below_its_own_job(tmp_path: Path) -> None:
    cache = FolderCache(tmp_path / "cache")
    fronts = [accuracies(tmp_path / "front", cache, SPARSITIES, seed) for seed in SEEDS]
    alone = [[accuracies(tmp_path / "own", cache, one, seed)[0] for one in SPARSITIES] for seed in SEEDS]

    for place, sparsity in enumerate(SPARSITIES):
        points, own = [front[place] for front in fronts], [jobs[place] for jobs in alone]
        print(f"{sparsity:g}: {fmean(points):.1%} ± {stdev(points):.1%}, own {fmean(own):.1%} ± {stdev(own):.1%}")
        assert fmean(own) - fmean(points) <= max(stdev(own), stdev(points), LEAST_DEVIATION)
