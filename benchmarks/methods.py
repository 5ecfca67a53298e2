"""Compares the pruning methods on Fashion-MNIST: accuracy at each sparsity, over seeds, at equal total epochs.

    python -m benchmarks.methods                                     every method, sparsity and seed: hours on a CPU
    python -m benchmarks.methods --methods magnitude rigl east --sparsities 0.99 --seeds 0 1 2
    python -m benchmarks.methods --search 16 5                       a SAFS search in each cell: days on a CPU
    python -m benchmarks.methods --model resnet18 --device cuda --sparsities 0.99 0.999 --epochs 30 30 30
    python -m benchmarks.methods --epochs 1 2 1 --images 3000        a look at how it goes
    python -m benchmarks.methods --methods --tables docs/methods.md --plot docs/images/methods.png
                                                                     runs nothing, rebuilds what is in the docs

A measured cell (method, sparsity, seed) is one line of the results file, written at once. What is in the file is not
measured again, so the same command goes on after Ctrl-C. Cells of other settings or versions are measured anew and
never mixed; when a method's code has changed, --forget drops its cells.

All cells of a seed start from the same dense network. Total epochs are equal: a method that prunes at once has the
epochs of pruning as fine-tuning, one that starts from fresh weights has those of the dense training as well.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import torch
from rich.console import Console

from benchmarks.comparison.cells import DENSE, Cell, Record, Settings, in_order, key_of, rows, versions
from benchmarks.comparison.picture import draw
from benchmarks.comparison.run_cells import CellRunner
from benchmarks.comparison.tables import write_tables
from cli.progress_bars import job_progress
from safs.events.progress import plan_stages

SPARSITIES = (0.99, 0.95, 0.999, 0.9, 0.98, 0.995)
"""The most telling first, so that a part of the run is of use."""


def main() -> None:
    """Measures the cells that are missing, then writes what was asked for."""
    arguments = _arguments()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    console = Console(width=150, highlight=False)
    if arguments.forget:
        _forget(arguments.results, arguments.forget)
    search = None if arguments.search is None else (arguments.search[0], arguments.search[1])
    cells = in_order(arguments.methods, arguments.sparsities, arguments.seeds, search)
    _measure(cells, arguments, console)
    records = read(arguments.results)
    if arguments.tables is not None:
        write_tables(records, arguments.tables)
        console.print(f"tables: {arguments.tables}")
    if arguments.plot is not None:
        draw(records, arguments.plot)
        console.print(f"plot: {arguments.plot}")


def _measure(cells: Sequence[Cell], arguments: argparse.Namespace, console: Console) -> None:
    dense, prune, final = arguments.epochs
    settings = Settings(
        arguments.model, arguments.images, arguments.batch_size, dense, prune, final, arguments.device, *versions()
    )
    done = read(arguments.results)
    missing = [cell for cell in cells if not any(_is(record, settings, cell) for record in done)]
    console.print(f"{len(cells) - len(missing)} of {len(cells)} cells are in {arguments.results}; {_machine(settings)}")
    if not missing:
        return
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    folder = arguments.results.with_suffix(".dense")
    folder.mkdir(exist_ok=True)
    for place, cell in enumerate(missing):
        record = _run(cell, CellRunner(settings, arguments.data_root, folder), console)
        with arguments.results.open("a") as file:
            file.write(json.dumps(record) + "\n")
        done.append(record)
        left_s = sum(expected_s(other, done) for other in missing[place + 1 :])
        console.print(f"[{place + 1}/{len(missing)}] {_line(cell, record)}; {_left(left_s)}", markup=False)


def _run(cell: Cell, runner: CellRunner, console: Console) -> Record:
    """Runs the cell; the stages of a search are shown as they go, since one takes as long as a hundred cells."""
    if cell.search is None:
        return runner.run(cell)
    console.print(f"{_name(cell)}, with a search:", markup=False)
    with job_progress(plan_stages(runner.spec(cell)), console) as progress:
        return runner.run(cell, lambda event: progress.tell(event, time.monotonic()))


def expected_s(cell: Cell, done: Sequence[Record]) -> float:
    """Seconds that a cell will take: the median of its row's, else of all, with or without a search as it is."""
    like = [record for record in done if (record["search"] is None) == (cell.search is None) and not record["error"]]
    own = [record["wall_s"] for record in like if record["row"] == cell.row]
    return float(median(own or [record["wall_s"] for record in like] or [0.0]))


def read(path: Path) -> list[Record]:
    """The records of a results file; none where there is no file. A last line that was cut off is left out."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _forget(path: Path, names: Sequence[str]) -> None:
    kept = [record for record in read(path) if record["row"] not in names]
    part = path.with_suffix(".part")
    part.write_text("".join(json.dumps(record) + "\n" for record in kept))
    part.replace(path)


def _is(record: Record, settings: Settings, cell: Cell) -> bool:
    key = key_of(settings, cell)
    return {name: record.get(name) for name in key} == key


def _line(cell: Cell, record: Record) -> str:
    if record["error"]:
        return f"{_name(cell)}: {record['error']}"
    scores = ", ".join(f"{name} {accuracy:.1%}" for name, accuracy in record["test"].items())
    return f"{_name(cell)}: {scores}, {record['wall_s']:.0f} s"


def _name(cell: Cell) -> str:
    return f"{cell.row} at {100 * cell.sparsity:g}%, seed {cell.seed}"


def _left(seconds: float) -> str:
    end = datetime.now(UTC).astimezone() + timedelta(seconds=seconds)
    return f"about {timedelta(seconds=round(seconds))} left, until {end:%a %H:%M}" if seconds else "done"


def _machine(settings: Settings) -> str:
    where = torch.cuda.get_device_name(settings.device) if settings.device != "cpu" else f"{os.cpu_count()} cores"
    return f"{where}, {torch.get_num_threads()} threads, torch {settings.torch}"


def _arguments() -> argparse.Namespace:
    known = [DENSE, *rows()]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--methods", nargs="*", choices=known, default=known, metavar="NAME", help=f"of {', '.join(known)}")
    add("--sparsities", nargs="+", type=float, default=SPARSITIES, help=f"in this order (default: {SPARSITIES})")
    add("--seeds", nargs="+", type=int, default=(0, 1, 2), help="default: 0 1 2")
    epochs = "epochs of the dense training, of pruning and of fine-tuning (default: 10 10 10)"
    add("--epochs", nargs=3, type=int, default=(10, 10, 10), metavar=("D", "P", "F"), help=epochs)
    search = "search activations and recipe in each cell, with so many trials of so many epochs in each stage"
    add("--search", nargs=2, type=int, metavar=("TRIALS", "EPOCHS"), help=search)
    add("--model", default="lenet5", help="the architecture (default: lenet5)")
    add("--batch-size", type=int, default=128, help="default: 128")
    add("--images", type=int, default=0, help="how many to train and validate on; 0, the default, is all 60,000")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu, cuda, cuda:1 ...")
    add("--threads", type=int, default=0, help="torch's threads; 0 leaves torch's own choice")
    add("--data-root", type=Path, default=None, help="where Fashion-MNIST may be")
    add("--results", type=Path, default=Path("methods-results.jsonl"), help="default: methods-results.jsonl")
    add("--forget", nargs="+", metavar="NAME", help="drop the cells of these methods from the results file first")
    add("--tables", type=Path, help="write the tables into this file, between its marks where it has them")
    add("--plot", type=Path, help="draw accuracy over live weights into this file (.png, .svg, .pdf)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
