"""Compare the time of ten small jobs and three longer ones with their estimates, on this machine.

    python -m benchmarks.estimates                   all jobs, one after the other; some minutes
    python -m benchmarks.estimates --jobs 1 2 11     the first two and the first longer one

Each job runs as ``safs run --dispatcher actors`` runs it. Its report has the estimate that was made before its first
stage, and the time that it took. A job counts as within if its time lies in the interval. Finished jobs in ``--out``
are not run again.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

MLP, LENET5 = {"architecture": "mlp"}, {"architecture": "lenet5"}
SHORT: dict[str, Any] = {
    "train": {"epochs": 5},
    "prune": {"search": None},
    "joint": {"trials": 6, "epochs": 4},
    "final": {"epochs": 5},
}
SMALL: list[dict[str, Any]] = [
    {"model": MLP},
    {"model": MLP, "data": {"batch_size": 64}},
    {"model": MLP, "sparsity": 0.5, "joint": {"strategy": "random", "trials": 8, "epochs": 4}},
    {"model": MLP, "prune": {"method": "gradient", "search": None}},
    {"model": MLP, "joint": {"strategy": "hyperband", "trials": 9, "epochs": 6}},
    {"model": MLP, "final": {"epochs": 5, "repeats": 2}},
    {"model": MLP, "prune": {"schedule": "cubic", "epochs": 4, "search": None}},
    {
        "model": MLP,
        "activations": {"trials": 5, "epochs": 3},
        "tune": {"trials": 5, "epochs": 3},
        "final": {"epochs": 5, "candidates": ["default", "safs"]},
    },
    {"model": LENET5},
    {"model": LENET5, "data": {"batch_size": 128}, "joint": {"strategy": "tpe", "trials": 4, "epochs": 3}},
]
LONGER: list[dict[str, Any]] = [
    {"model": MLP, "preset": "quick", "prune": {}},
    {"model": MLP, "train": {"epochs": 40}, "joint": {"trials": 20, "epochs": 12}, "final": {"epochs": 30}},
    {"model": LENET5, "train": {"epochs": 15}, "joint": {"trials": 12, "epochs": 8}, "final": {"epochs": 15}},
]
NEEDED = {"small": 9, "longer": 3}
"""Number of jobs of each kind that should lie within their interval."""


def main(given: Sequence[str] | None = None) -> int:
    """Run the jobs, print a table; 0 if enough of them lie within their intervals."""
    arguments = _arguments(given)
    specs = [("small", spec) for spec in SMALL] + [("longer", spec) for spec in LONGER]
    rows = [
        (kind, number, _report(complete(spec), arguments.out / f"job-{number}"))
        for number, (kind, spec) in enumerate(specs, start=1)
        if number in arguments.jobs
    ]
    print("| job | took | estimate | interval | within |\n|---|---|---|---|---|")
    for kind, number, report in rows:
        estimate, actual = report["estimate"], report["actual"]["seconds"]
        print(
            f"| {number} ({kind}) | {actual:.1f} s | {estimate['seconds']:.1f} s | {estimate['low_s']:.1f} to "
            f"{estimate['high_s']:.1f} s | {'yes' if is_within(report) else 'no'} |"
        )
    counts = {kind: sum(is_within(report) for one, _, report in rows if one == kind) for kind in NEEDED}
    print(f"\nwithin: {counts['small']} small jobs, {counts['longer']} longer ones, of {len(rows)}")
    return 0 if all(counts[kind] >= needed for kind, needed in NEEDED.items()) else 1


def complete(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The spec on scikit-learn's digits at a sparsity of 0.9 with few epochs, unless it says otherwise."""
    return {"sparsity": 0.9, **SHORT, **spec, "data": {"dataset": "digits", **spec.get("data", {})}}


def is_within(report: Mapping[str, Any]) -> bool:
    """True if the job took as long as its estimate allows."""
    estimate = report["estimate"]
    return bool(estimate["low_s"] <= report["actual"]["seconds"] <= estimate["high_s"])


def _report(spec: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    file = folder / "report.json"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        job = folder / "job.yaml"
        job.write_text(yaml.safe_dump(dict(spec)))
        command = [
            sys.executable,
            "-m",
            "cli.main",
            "run",
            str(job),
            "--output",
            str(folder),
            "--json",
            "--dispatcher",
            "actors",
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = list(range(1, len(SMALL) + len(LONGER) + 1))
    parser.add_argument(
        "--out", type=Path, default=Path("estimates"), help="folder of the results (default: estimates)"
    )
    parser.add_argument("--jobs", type=int, nargs="+", choices=numbers, default=numbers, help="jobs (default: all)")
    return parser.parse_args(given)


if __name__ == "__main__":
    sys.exit(main())
