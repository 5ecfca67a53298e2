"""The joint search from the best pruned start, against half of it from each of the best two.

    python -m benchmarks.two_starts                         the MLP on digits at 98%, 5 seeds
    python -m benchmarks.two_starts --architecture lenet5 --sparsity 0.99
    python -m benchmarks.two_starts --seeds                 measures nothing, prints the table

A whole job chooses its start and searches from it. Two more jobs then prune by the best two starts of its comparison,
with half of its trials each, and the better of their results on validation is the result of both: the start is a
hyperparameter of the search. Both ways have the same trials; the second has one pruning and one final training more. A
measured seed is appended to the results file with the version of the sources that measured it.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from tempfile import TemporaryDirectory
from typing import Any

import torch

from safs.execution.serial import SerialExecutor
from safs.pipeline.run import run_job
from safs.reuse.cache import FolderCache
from safs.reuse.keys import code_version
from safs.spec.job import JobSpec
from safs.spec.starts import starts_of
from search_spaces import SPACES

TRIALS, EPOCHS = 8, 5


def main() -> None:
    """Measure the missing seeds, then print the table."""
    arguments = _arguments()
    torch.set_num_threads(1)
    key = {name: getattr(arguments, name) for name in ("architecture", "dataset", "sparsity")}
    known = {row["seed"] for row in _read(arguments.results, key)}
    for seed in [seed for seed in arguments.seeds if seed not in known]:
        row = key | {"seed": seed, "code": code_version()} | _measure(arguments, seed)
        with arguments.results.open("a") as file:
            print(json.dumps(row), file=file)
        print(row, flush=True)
    print(table(_read(arguments.results, key)))


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table: mean and deviation over seeds, in percent."""
    lines = ["| search from | seeds | validation | test | paired difference in test |", "|---|---|---|---|---|"]
    for way, name in (("one", "the best start"), ("two", "half from each of the best two")):
        columns = [[row[way][split] for row in rows] for split in ("validation", "test")]
        gains = [row["two"]["test"] - row["one"]["test"] for row in rows] if way == "two" else []
        lines.append(f"| {name} | {len(rows)} | {' | '.join(map(_mean, [*columns, gains]))} |")
    return "\n".join(lines)


def _mean(values: Sequence[float]) -> str:
    if not values:
        return ""
    return f"{100 * fmean(values):.1f}" + (f" +- {100 * stdev(values):.1f}" if len(values) > 1 else "")


def _measure(arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    given = {
        "model": {"architecture": arguments.architecture},
        "data": {"dataset": arguments.dataset, "batch_size": 64},
        "sparsity": arguments.sparsity,
        "preset": "quick",
        "train": {"epochs": 10},
        "final": {"epochs": 10, "candidates": ["default", "joint"]},
        "seed": seed,
    }
    with TemporaryDirectory() as folder:
        report = _run(given | {"joint": {"trials": TRIALS, "epochs": EPOCHS}}, Path(folder))
        starts = starts_of(JobSpec.model_validate(given).prune)
        best = _best_starts(report)[:2]
        halves = [
            _run(
                given
                | {"prune": starts[name].model_dump(mode="json"), "joint": {"trials": TRIALS // 2, "epochs": EPOCHS}},
                Path(folder),
            )
            for name in best
        ]
    results = [_result(half) for half in halves]
    return {"starts": best, "one": _result(report), "two": max(results, key=lambda one: one["validation"])}


def _best_starts(report: dict[str, Any]) -> list[str]:
    """The names of the compared starts, the best first: those that trained longest, by their validation accuracy."""
    trials = [trial for trial in report["searches"]["prune_search"]["trials"] if trial["error"] is None]
    trials.sort(key=lambda trial: (trial["epochs"], trial["accuracy"]), reverse=True)
    return list(dict.fromkeys(trial["config"]["start"] for trial in trials))


def _result(report: dict[str, Any]) -> dict[str, Any]:
    row = next(row for row in report["rows"] if row["name"] == report["result"])
    return {split: row[f"{split}_accuracy"] for split in ("validation", "test")}


def _run(spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The report of a job, whose dense network and prunings other jobs in ``folder`` may have made already."""
    return run_job(
        JobSpec.model_validate(spec),
        spaces=SPACES,
        executor=SerialExecutor(),
        report=lambda _: None,
        data_root=None,
        dense_weights=None,
        out_dir=folder / "result",
        cache=FolderCache(folder / "cache"),
    ).report


def _read(results: Path, key: dict[str, Any]) -> list[dict[str, Any]]:
    lines = results.read_text().splitlines() if results.exists() else []
    wanted = key | {"code": code_version()}
    return [row for row in map(json.loads, lines) if wanted.items() <= row.items()]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--architecture", default="mlp", help="network (default: mlp)")
    add("--dataset", default="digits", help="a data set that needs no path (default: digits)")
    add("--sparsity", type=float, default=0.98, help="sparsity (default: 0.98)")
    add("--seeds", nargs="*", type=int, default=[0, 1, 2, 3, 4], help="seeds (default: 0 to 4)")
    add("--results", type=Path, default=Path("two-starts.jsonl"), help="results file (default: two-starts.jsonl)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
