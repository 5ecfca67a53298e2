"""Compares the pruning methods on Fashion-MNIST: accuracy at each sparsity, over seeds, at equal total epochs.

    python -m benchmarks.methods                                     every method, sparsity and seed: hours on a CPU
    python -m benchmarks.methods --methods magnitude rigl east --sparsities 0.99 --seeds 0 1 2
    python -m benchmarks.methods --search 16 5                       a SAFS search in each cell: days on a CPU
    python -m benchmarks.methods --model resnet18 --device cuda --sparsities 0.99 0.999 --epochs 30 30 30
    python -m benchmarks.methods --epochs 1 2 1 --images 3000        a quick trial of this program
    python -m benchmarks.methods --methods --tables docs/methods.md --plot docs/images/methods.png
                                                                     measures nothing, writes what is in the docs

A measured cell (method, sparsity, seed) is appended to the results file as one line. A cell in the file is not measured
again, so the same command continues after Ctrl-C. Cells of other settings or versions are measured again and never
mixed. After a change of a method's code, --forget drops its cells.

All cells of a seed start from the same dense network. Total epochs are equal: a method that prunes in one shot gets the
epochs of pruning as fine-tuning, and one that starts from new weights gets those of the dense training, too.
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
from safs.events.plan import plan_stages

SPARSITIES = (0.99, 0.95, 0.999, 0.9, 0.98, 0.995)
"""Sparsities in the order in which they are measured, so that an incomplete run is useful."""


def main() -> None:
    """Measure the missing cells, then write tables and plot if they are requested."""
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
    missing = [cell for cell in cells if not any(_matches(record, settings, cell) for record in done)]
    console.print(f"{len(cells) - len(missing)} of {len(cells)} cells are in {arguments.results}; {_machine(settings)}")
    if not missing:
        return
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    folder = arguments.results.with_suffix(".dense")
    folder.mkdir(exist_ok=True)
    for number, cell in enumerate(missing, start=1):
        record = _run(cell, CellRunner(settings, arguments.data_root, folder), console)
        with arguments.results.open("a") as file:
            file.write(json.dumps(record) + "\n")
        done.append(record)
        left_s = sum(expected_s(other, done) for other in missing[number:])
        console.print(f"[{number}/{len(missing)}] {_line(cell, record)}; {_time_left(left_s)}", markup=False)


def _run(cell: Cell, runner: CellRunner, console: Console) -> Record:
    """Run the cell. A search shows its progress, since it takes as long as a hundred cells without one."""
    if cell.search is None:
        return runner.run(cell)
    console.print(f"{_name(cell)}, with a search:", markup=False)
    with job_progress(plan_stages(runner.spec(cell)), console) as progress:
        return runner.run(cell, lambda event: progress.update(event, time.monotonic()))


def expected_s(cell: Cell, done: Sequence[Record]) -> float:
    """Expected seconds of a cell: the median of its row, else of all rows, among cells that search if it does."""
    similar = [record for record in done if (record["search"] is None) == (cell.search is None) and not record["error"]]
    same_row = [record["wall_s"] for record in similar if record["row"] == cell.row]
    return float(median(same_row or [record["wall_s"] for record in similar] or [0.0]))


def read(path: Path) -> list[Record]:
    """Records of a results file; none if the file does not exist. A truncated last line is ignored."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _forget(path: Path, names: Sequence[str]) -> None:
    kept = [record for record in read(path) if record["row"] not in names]
    part = path.with_suffix(".part")
    part.write_text("".join(json.dumps(record) + "\n" for record in kept))
    part.replace(path)


def _matches(record: Record, settings: Settings, cell: Cell) -> bool:
    key = key_of(settings, cell)
    return {name: record.get(name) for name in key} == key


def _line(cell: Cell, record: Record) -> str:
    if record["error"]:
        return f"{_name(cell)}: {record['error']}"
    scores = ", ".join(f"{name} {accuracy:.1%}" for name, accuracy in record["test"].items())
    return f"{_name(cell)}: {scores}, {record['wall_s']:.0f} s"


def _name(cell: Cell) -> str:
    return f"{cell.row} at {100 * cell.sparsity:g}%, seed {cell.seed}"


def _time_left(seconds: float) -> str:
    end = datetime.now(UTC).astimezone() + timedelta(seconds=seconds)
    return f"about {timedelta(seconds=round(seconds))} left, until {end:%a %H:%M}" if seconds else "done"


def _machine(settings: Settings) -> str:
    where = torch.cuda.get_device_name(settings.device) if settings.device != "cpu" else f"{os.cpu_count()} cores"
    return f"{where}, {torch.get_num_threads()} threads, torch {settings.torch}"


def _arguments() -> argparse.Namespace:
    known = [DENSE, *rows()]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add(
        "--methods",
        nargs="*",
        choices=known,
        default=known,
        metavar="NAME",
        help=f"methods to measure (default: {' '.join(known)})",
    )
    add(
        "--sparsities",
        nargs="+",
        type=float,
        default=SPARSITIES,
        help=f"sparsities, in this order (default: {SPARSITIES})",
    )
    add("--seeds", nargs="+", type=int, default=(0, 1, 2), help="seeds (default: 0 1 2)")
    epochs = "epochs of the dense training, of pruning and of fine-tuning (default: 10 10 10)"
    add("--epochs", nargs=3, type=int, default=(10, 10, 10), metavar=("D", "P", "F"), help=epochs)
    search = "run a SAFS search in each cell with this number of trials, each of this number of epochs, in both stages"
    add("--search", nargs=2, type=int, metavar=("TRIALS", "EPOCHS"), help=search)
    add("--model", default="lenet5", help="architecture (default: lenet5)")
    add("--batch-size", type=int, default=128, help="images in a batch (default: 128)")
    add("--images", type=int, default=0, help="number of training and validation images; 0 uses all (default: 0)")
    add(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="cpu, cuda, cuda:1 ... (default: cuda if available)",
    )
    add("--threads", type=int, default=0, help="torch's threads; 0 uses torch's default (default: 0)")
    add("--data-root", type=Path, default=None, help="data root, the folder of data sets")
    results = "file of the results (default: methods-results.jsonl)"
    add("--results", type=Path, default=Path("methods-results.jsonl"), help=results)
    add("--forget", nargs="+", metavar="NAME", help="drop the cells of these methods from the results file first")
    add("--tables", type=Path, help="write the tables into this file, between its marks if it has them")
    add("--plot", type=Path, help="draw accuracy over live weights into this file (.png, .svg, .pdf)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
