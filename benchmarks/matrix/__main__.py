"""Measures which networks the service takes, one process for each.

    python -m benchmarks.matrix                          every network that is not in the file yet: an hour or two
    python -m benchmarks.matrix timm/mobilevit_s         some networks, again
    python -m benchmarks.matrix --table docs/models.md   measures nothing, writes the table

For each network with random weights: its activation sites; one epoch with another operator at every site; pruning to
95% and one epoch; removal of 30% by whole filters and one epoch; capture by torch.export, and the rebuilt network.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.matrix.table import ALL, write_table

RESULTS = Path("benchmarks/results/matrix.jsonl")


def main() -> None:
    """Measure the missing networks, or write the table."""
    arguments = _arguments()
    if arguments.table is not None:
        write_table(read(arguments.results), arguments.table)
        return
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    done = {result["name"] for result in read(arguments.results)}
    names = arguments.names or [name for name in ALL if name not in done]
    for name in names:
        result = measure(name, arguments.limit)
        with arguments.results.open("a") as file:
            file.write(json.dumps(result) + "\n")
        works = ", ".join(what for what, value in result.items() if isinstance(value, dict) and value["ok"])
        print(f"{name}: {works or 'nothing'} ({result['seconds']:.0f} s)", flush=True)


def measure(name: str, limit_s: int) -> dict[str, object]:
    """The result for one network, from a process of its own; what was measured before an ``error``, if there is one."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.matrix.measure", name, str(limit_s)]
    done = subprocess.run(command, capture_output=True)
    result = _last_line(done.stdout) or {"name": name}
    if done.returncode == -signal.SIGXCPU:
        result["error"] = f"it took longer than {limit_s} s of processor time"
    elif done.returncode != 0:
        result["error"] = done.stderr.decode(errors="replace").strip().rpartition("\n")[2][:300]
    return result | {"seconds": round(time.perf_counter() - started, 1)}


def _last_line(output: bytes) -> dict[str, object]:
    """The last line of JSON in ``output``; empty if there is none."""
    lines = [line for line in output.splitlines() if line.startswith(b"{") and line.endswith(b"}")]
    return dict(json.loads(lines[-1])) if lines else {}


def read(path: Path) -> list[dict[str, object]]:
    """The results in the file, the latest of each network."""
    lines = path.read_text().splitlines() if path.exists() else []
    return list({result["name"]: result for result in map(json.loads, lines)}.values())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.matrix", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", type=Path, metavar="PAGE", help="write the table to this page, between its marks")
    parser.add_argument("--limit", type=int, default=900, help="seconds of processor time for one network")
    return parser.parse_args()


if __name__ == "__main__":
    main()
