"""Ways to prune, at equal epochs and without any search: one-shot and gradual, each with two recipes of fine-tuning.

    python -m benchmarks.pruned_starts                                       99%, two distributions, 3 seeds
    python -m benchmarks.pruned_starts --distributions lamp erk --seeds 0
    python -m benchmarks.pruned_starts --architecture resnet20 --dataset digits --images 0 --image-size 8 \\
        --distributions global --rows "one-shot; Adam 1e-3" "cubic by SGD 3e-2; cycle to 1e-2"
    python -m benchmarks.pruned_starts --seeds                               measures nothing, prints the table

A network (LeNet-5 on a part of Fashion-MNIST) is trained for 8 epochs, then pruned and fine-tuned for 10 epochs in all.
A measured cell is appended to the results file with the version of the sources that measured it, and is not measured
again by the same version. Cells of other versions are not shown. Each network and data set needs its own results file.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch

from benchmarks.searches.cells import Scale, prepare
from benchmarks.trainings import do, network_of
from safs import data
from safs.data import Splits
from safs.execution.pruning import Pruning
from safs.execution.training import Training, score
from safs.execution.work import Context, Trained
from safs.networks import Blueprint
from safs.reuse.keys import code_version
from safs.spec.pruning import PruneSpec
from safs.spec.training import Recipe
from safs.training.settings import TrainingData

DENSE_EPOCHS, PRUNING_EPOCHS, EPOCHS, BATCH = 8, 5, 10, 64
ADAM = Recipe(optimizer="adam", learning_rate=1e-3)


@dataclass(frozen=True, slots=True)
class Row:
    """A way to prune, and the fine-tuning after it."""

    pruning: Recipe | None
    """Recipe of gradual pruning by the schedule ``cubic``; None prunes in one shot."""
    tuning: Recipe

    def spec(self, distribution: str) -> PruneSpec:
        """The pruning as a section of a job."""
        if self.pruning is None:
            return PruneSpec(distribution=distribution)
        return PruneSpec(schedule="cubic", distribution=distribution, epochs=PRUNING_EPOCHS, recipe=self.pruning)


def _cycle(learning_rate: float) -> Recipe:
    return Recipe(optimizer="adam", learning_rate=learning_rate, schedule="one_cycle")


def _sgd(learning_rate: float, schedule: str = "constant") -> Recipe:
    return Recipe(optimizer="sgd", learning_rate=learning_rate, momentum=0.9, schedule=schedule)


ROWS = {
    "one-shot; Adam 1e-3": Row(None, ADAM),
    "one-shot; cycle to 1e-2": Row(None, _cycle(1e-2)),
    "one-shot; cycle to 3e-2": Row(None, _cycle(3e-2)),
    "cubic by Adam 1e-3; Adam 1e-3": Row(ADAM, ADAM),
    "cubic by SGD 1e-2; Adam 1e-3": Row(_sgd(1e-2), ADAM),
    "cubic by SGD 3e-2; Adam 1e-3": Row(_sgd(3e-2), ADAM),
    "cubic by SGD 1e-1; Adam 1e-3": Row(_sgd(1e-1), ADAM),
    "cubic by SGD 1e-2; cycle to 1e-2": Row(_sgd(1e-2), _cycle(1e-2)),
    "cubic by SGD 3e-2; cycle to 1e-2": Row(_sgd(3e-2), _cycle(1e-2)),
    "cubic by SGD 1e-1; cycle to 1e-2": Row(_sgd(1e-1), _cycle(1e-2)),
    "cubic by SGD 1e-1, cosine; cycle to 1e-2": Row(_sgd(1e-1, "cosine"), _cycle(1e-2)),
    "cubic by Adam 3e-3; cycle to 1e-2": Row(Recipe(optimizer="adam", learning_rate=3e-3), _cycle(1e-2)),
}
"""Name -> row. Fine-tuning by one cycle learns alpha and beta, as a search's trials do."""


def main() -> None:
    """Measure the missing cells, then print the table."""
    arguments = _arguments()
    torch.set_num_threads(1)
    for seed in arguments.seeds:
        _measure(seed, arguments)
    print(table(_read(arguments.results), arguments.sparsity))


def table(cells: Sequence[dict[str, Any]], sparsity: float) -> str:
    """The cells of one sparsity as a Markdown table: mean and deviation of the test accuracy over seeds, in percent."""
    own = [cell for cell in cells if cell["sparsity"] == sparsity]
    distributions = list(dict.fromkeys(cell["distribution"] for cell in own))
    lines = [f"| {sparsity:.1%} | {' | '.join(distributions)} |", "|---|" + "---|" * len(distributions)]
    for row in dict.fromkeys(cell["row"] for cell in own):
        found = [[c["test"] for c in own if (c["row"], c["distribution"]) == (row, d)] for d in distributions]
        lines.append(f"| {row} | {' | '.join(map(_mean, found))} |")
    return "\n".join(lines)


def _mean(accuracies: Sequence[float]) -> str:
    if not accuracies:
        return ""
    return f"{fmean(accuracies):.1%}" + (f" +- {100 * stdev(accuracies):.1f}" if len(accuracies) > 1 else "")


def _read(results: Path) -> list[dict[str, Any]]:
    lines = results.read_text().splitlines() if results.exists() else []
    return [cell for cell in map(json.loads, lines) if cell["code"] == code_version()]


def _measure(seed: int, arguments: argparse.Namespace) -> None:
    known = {(cell["sparsity"], cell["distribution"], cell["seed"], cell["row"]) for cell in _read(arguments.results)}
    cells = [(arguments.sparsity, name, seed, row) for name in arguments.distributions for row in arguments.rows]
    missing = [cell for cell in cells if cell not in known]
    if not missing:
        return
    splits = _images(seed, arguments)
    blueprint = Blueprint(arguments.architecture, 1, arguments.image_size, splits.classes)
    context = Context(blueprint, TrainingData(splits.train, splits.validation, BATCH))
    dense = network_of(do(Training({}, ADAM, DENSE_EPOCHS, seed), context))
    for _, distribution, _, name in missing:
        measured = _cell(ROWS[name], distribution, seed, replace(context, start=dense.state), arguments.sparsity)
        test = score(network_of(measured), splits.test, 256, "cpu").accuracy
        cell = {
            "sparsity": arguments.sparsity,
            "distribution": distribution,
            "seed": seed,
            "row": name,
            "validation": measured.outcome.metrics["accuracy"],
            "curve": [epoch.validation_accuracy for epoch in measured.outcome.curve],
            "test": test,
            "code": code_version(),
        }
        with arguments.results.open("a") as file:
            print(json.dumps(cell), file=file)
        print(distribution, seed, name, f"{test:.1%}", flush=True)


def _cell(row: Row, distribution: str, seed: int, dense: Context, sparsity: float) -> Trained:
    spec = row.spec(distribution)
    pruned = network_of(do(Pruning(spec, sparsity, spec.recipe or ADAM, seed), dense))
    start = replace(dense, start=pruned.state, masks=pruned.masks)
    learnable = row.tuning.schedule == "one_cycle"
    return do(Training({}, row.tuning, EPOCHS - spec.epochs, seed, learnable), start)


def _images(seed: int, arguments: argparse.Namespace) -> Splits:
    scale = Scale(arguments.dataset, arguments.images, BATCH, 0.1, DENSE_EPOCHS, 1, EPOCHS)
    spec, root = prepare(scale, arguments.results.parent, arguments.data_root)
    return data.load(spec, root=root, channels=1, image_size=arguments.image_size, seed=seed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--sparsity", type=float, default=0.99, help="sparsity (default: 0.99)")
    add("--distributions", nargs="+", default=["global", "uniform"], help="distributions (default: global uniform)")
    add("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help="rows (default: all)")
    add("--architecture", default="lenet5", help="network (default: lenet5)")
    add("--dataset", default="fashion_mnist", help="a data set that needs no path (default: fashion_mnist)")
    add("--image-size", type=int, default=28, help="pixels a side (default: 28)")
    add("--seeds", nargs="*", type=int, default=[0, 1, 2], help="seeds (default: 0 1 2)")
    add("--images", type=int, default=10_000, help="training and validation images; 0 uses all (default: 10000)")
    add("--data-root", type=Path, help="folder of the data sets")
    add("--results", type=Path, default=Path("pruned-starts.jsonl"), help="results file (default: pruned-starts.jsonl)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
