"""The points of a front beside jobs of their own: one job with several sparsities, and one job for each of them.

    python -m benchmarks.fronts                                   MLP on digits, 4 sparsities, 3 seeds
    python -m benchmarks.fronts --model lenet5 --seeds 0 1
    python -m benchmarks.fronts --seeds                           measures nothing, prints the table

Every job is one of ``safs run`` with the preset ``quick``. A finished one is a line of the results file, with the
version of the sources that measured it, and is not measured again by the same version.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from tempfile import TemporaryDirectory
from typing import Any

import torch

from safs.execution.serial import SerialExecutor
from safs.pipeline.run import run_job
from safs.reuse.keys import code_version
from safs.spec.job import JobSpec
from search_spaces import SPACES

Line = dict[str, Any]


def main() -> None:
    """Measure the missing jobs, then print the table."""
    arguments = _arguments()
    torch.set_num_threads(1)
    for seed in arguments.seeds:
        for sparsity in (arguments.sparsities, *arguments.sparsities):
            _measure(arguments, sparsity, seed)
    print(table(_read(arguments.results), arguments))


def table(lines: Sequence[Line], arguments: argparse.Namespace) -> str:
    """Test accuracy of each point and of its own job, and their difference over seeds, as a Markdown table."""
    found = {(json.dumps(line["sparsity"]), line["seed"]): line for line in lines if line["model"] == arguments.model}
    front = json.dumps(arguments.sparsities)
    seeds = [seed for name, seed in found if name == front]
    rows = ["| sparsity | point of the front | own job | difference, by seed |", "|---|---|---|---|"]
    for sparsity in arguments.sparsities:
        own = json.dumps(sparsity)
        both = [seed for seed in seeds if (own, seed) in found]
        points = [found[front, seed]["test"][str(sparsity)] for seed in both]
        alone = [found[own, seed]["test"][str(sparsity)] for seed in both]
        differences = [point - one for point, one in zip(points, alone, strict=True)]
        rows.append(f"| {sparsity:g} | {_mean(points)} | {_mean(alone)} | {_mean(differences)} |")
    together = [found[front, seed]["epochs"] for seed in seeds]
    apart = [
        sum(found[own, seed]["epochs"] for own in map(json.dumps, arguments.sparsities))
        for seed in seeds
        if all((json.dumps(sparsity), seed) in found for sparsity in arguments.sparsities)
    ]
    if together and apart:
        rows += ["", f"Epochs: {fmean(together):.0f} of the front, {fmean(apart):.0f} of the single jobs together."]
    return "\n".join(rows)


def _mean(values: Sequence[float]) -> str:
    if not values:
        return ""
    return f"{100 * fmean(values):.1f}" + (f" ± {100 * stdev(values):.1f}" if len(values) > 1 else "")


def _measure(arguments: argparse.Namespace, sparsity: float | list[float], seed: int) -> None:
    for line in _read(arguments.results):
        if (line["model"], line["sparsity"], line["seed"]) == (arguments.model, sparsity, seed):
            return
    spec = JobSpec.model_validate(
        {
            "model": {"architecture": arguments.model},
            "data": {"dataset": arguments.dataset, "batch_size": 64},
            "sparsity": sparsity,
            "preset": "quick",
            "deploy": {"formats": []},
            "seed": seed,
        }
    )
    began_s = time.monotonic()
    with TemporaryDirectory() as folder:
        report = run_job(
            spec,
            spaces=SPACES,
            executor=SerialExecutor(),
            report=lambda event: None,
            data_root=arguments.data_root,
            dense_weights=None,
            out_dir=Path(folder) / "result",
        ).report
    (row,) = (row for row in report["rows"] if row["name"] == report["result"])
    points = report.get("front") or [{"sparsity": sparsity, "test_accuracy": row["test_accuracy"]}]
    line = {
        "model": arguments.model,
        "sparsity": sparsity,
        "seed": seed,
        "test": {str(point["sparsity"]): point["test_accuracy"] for point in points},
        "epochs": report["actual"]["epochs"],
        "seconds": time.monotonic() - began_s,
        "code": code_version(),
    }
    with arguments.results.open("a") as file:
        print(json.dumps(line), file=file)
    print(seed, sparsity, line["test"], f"{line['seconds']:.0f} s", flush=True)


def _read(results: Path) -> list[Line]:
    lines = results.read_text().splitlines() if results.exists() else []
    return [line for line in map(json.loads, lines) if line["code"] == code_version()]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", default="mlp", help="network (default: mlp)")
    add("--dataset", default="digits", help="data set (default: digits)")
    add("--sparsities", nargs="+", type=float, default=[0.9, 0.95, 0.98, 0.99], help="default: 0.9 0.95 0.98 0.99")
    add("--seeds", nargs="*", type=int, default=[0, 1, 2], help="seeds (default: 0 1 2)")
    add("--data-root", type=Path, help="folder of the data sets")
    add("--results", type=Path, default=Path("fronts.jsonl"), help="results file (default: fronts.jsonl)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
