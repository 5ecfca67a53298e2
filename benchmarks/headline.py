"""Gain of the search over plain pruning, and its cost compared with the published schedule of SAFS.

    python -m benchmarks.headline                                    the paper's schedule and ours, LeNet-5 at 99%
    python -m benchmarks.headline --variants paper joint-asha joint-smac --seeds 0
    python -m benchmarks.headline --variants joint-asha --sparsities 0.9 0.95 0.98 --distributions uniform global
    python -m benchmarks.headline --images 12000 --batch-size 64     the same on a subset of the images
    python -m benchmarks.headline --variants two-recipes paper paper-portfolio joint-asha-plain joint-asha gradual \\
        gradual-search gradual-search-portfolio --distributions global uniform --images 10000 --batch-size 64 \\
        --epochs 8 10 10 --seeds 0 1 2 3 4 --equal-epochs        the headline: every way at equal epochs
    python -m benchmarks.headline --architectures resnet18 --images 2000 --image-size 16 --epochs 2 1 2
    python -m benchmarks.headline --variants --tables docs/benchmarks.md --plot docs/images/headline.png
                                                                     measures nothing, writes what is in the docs

A cell (variant, network, data, sparsity, distribution, seed) is a job as `safs run` runs it, one trial at a time. Its
result is a folder under --results, with the commit that measured it. A cell that this version has measured is not
measured again, so the same command continues after Ctrl-C. Tables and plot are made from these reports only, and none
mixes versions.
"""

import argparse
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.searches.cells import Cell, Scale, done, in_order, prepare
from benchmarks.searches.equal_epochs import equal_epochs_table
from benchmarks.searches.picture import draw
from benchmarks.searches.reading import read
from benchmarks.searches.tables import write_tables
from benchmarks.searches.variants import OURS, PAPER, VARIANTS
from benchmarks.searches.versions import write_version
from cli.progress_bars import job_progress
from safs.errors import SafsError
from safs.events.plan import plan_stages
from safs.execution.serial import SerialExecutor
from safs.pipeline.run import run_job
from safs.reuse.cache import FolderCache
from safs.spec.job import JobSpec
from search_spaces import SPACES


def main() -> None:
    """Measure the missing cells, then write tables and plot if they are requested."""
    arguments = _arguments()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    console = Console(width=150, highlight=False)
    scale = Scale(
        arguments.dataset,
        arguments.images,
        arguments.batch_size,
        arguments.validation_fraction,
        *arguments.epochs,
        arguments.image_size,
    )
    cells = in_order(
        arguments.variants, arguments.architectures, arguments.sparsities, arguments.distributions, arguments.seeds
    )
    _measure(cells, scale, arguments, console)
    runs = read(arguments.results)
    if arguments.tables is not None:
        write_tables(runs, arguments.tables)
        console.print(f"tables: {arguments.tables}")
    if arguments.equal_epochs:
        console.print(equal_epochs_table(runs), markup=False, soft_wrap=True)
    if arguments.plot is not None:
        draw(runs, arguments.plot)
        console.print(f"plot: {arguments.plot}")


def _measure(cells: Sequence[Cell], scale: Scale, arguments: argparse.Namespace, console: Console) -> None:
    results: Path = arguments.results
    missing = [cell for cell in cells if cell not in done(results, cells, scale)]
    console.print(f"{len(cells) - len(missing)} of {len(cells)} cells are in {results}")
    if not missing:
        return
    data_spec, data_root = prepare(scale, results, arguments.data_root)
    for number, cell in enumerate(missing, start=1):
        console.print(f"[{number}/{len(missing)}] {cell.folder(scale)}", markup=False)
        try:
            run(cell.spec(scale, data_spec), results / cell.folder(scale), data_root, arguments.device, console)
        except SafsError as error:
            console.print(f"{error.code}: {error.message}", style="red", markup=False)


def run(spec: JobSpec, target: Path, data_root: Path | None, device: str, console: Console) -> None:
    """Run a cell; its folder gets the name ``target`` when it is complete."""
    part = target.with_name(f".{target.name}")
    with job_progress(plan_stages(spec), console) as progress:
        result = run_job(
            spec,
            spaces=SPACES,
            executor=SerialExecutor(device),
            report=lambda event: progress.update(event, time.monotonic()),
            data_root=data_root,
            dense_weights=None,
            out_dir=part,
            cache=FolderCache(target.parent / ".stages"),
        )
    write_version(part)
    if target.exists():  # measured by another version
        shutil.rmtree(target)
    part.replace(target)
    rows = {row["name"]: row for row in result.report["rows"]}
    winner = rows[result.report["result"]]
    console.print(
        f"{target.name}: {winner['label']} {winner['validation_accuracy']:.1%} on validation, "
        f"{winner['test_accuracy']:.1%} on test; {result.report['seconds']:.0f} s",
        markup=False,
    )


def _arguments() -> argparse.Namespace:
    known = "\n".join(f"  {name:18} {variant.summary}" for name, variant in VARIANTS.items())
    parser = argparse.ArgumentParser(
        description=f"{__doc__}\nvariants:\n{known}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--variants",
        nargs="*",
        choices=VARIANTS,
        default=[PAPER, OURS],
        metavar="NAME",
        help=f"variants to measure (default: {PAPER} {OURS})",
    )
    add("--architectures", nargs="+", default=["lenet5"], help="networks (default: lenet5)")
    add("--sparsities", nargs="+", type=float, default=[0.99], help="sparsities (default: 0.99)")
    add(
        "--distributions",
        nargs="+",
        default=["uniform"],
        help="distributions of the sparsity (default: uniform, the paper's)",
    )
    add("--seeds", nargs="+", type=int, default=[0, 1, 2], help="seeds (default: 0 1 2)")
    add(
        "--dataset",
        default="fashion_mnist",
        help="a data set that needs no path, such as digits, or an npz file under --data-root (default: fashion_mnist)",
    )
    add("--images", type=int, default=0, help="number of training and validation images; 0 uses all (default: 0)")
    add("--image-size", type=int, help="pixels a side (default: the architecture's nearest size)")
    add("--batch-size", type=int, default=256, help="images in a batch (default: 256, the paper's)")
    add("--validation-fraction", type=float, default=0.1, help="fraction of the training images (default: 0.1)")
    epochs = "epochs of the dense training, a trial of the paper's schedule, a final training (default: 6 3 6)"
    add("--epochs", nargs=3, type=int, default=(6, 3, 6), metavar=("D", "T", "F"), help=epochs)
    add(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="cpu, cuda, cuda:1 ... (default: cuda if available)",
    )
    add("--threads", type=int, default=0, help="torch's threads; 0 uses torch's default (default: 0)")
    add("--data-root", type=Path, default=None, help="data root, the folder of data sets")
    results = "folder of the results (default: headline-results)"
    add("--results", type=Path, default=Path("headline-results"), help=results)
    add("--tables", type=Path, help="write the tables into this file, between its marks if it has them")
    add("--equal-epochs", action="store_true", help="print the table of all ways to a sparse network, with intervals")
    add("--plot", type=Path, help="draw accuracy over the epochs of search into this file (.png, .svg, .pdf)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
