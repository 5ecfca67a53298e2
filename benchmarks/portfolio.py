"""Which points the portfolio of first candidates should hold, by validation accuracy on other data than the headline's.

    python -m benchmarks.portfolio                          LeNet-5 on digits, 99%, two prunings, 3 seeds
    python -m benchmarks.portfolio --dataset mnist --data-root DIR
    python -m benchmarks.portfolio --seeds                  measures nothing, prints the table

LeNet-5 is trained and pruned in one shot and gradually, and each network is fine-tuned for a few epochs with one
operator at every site and one recipe. The test split is never read. A measured cell is a line of the results file, with
the version of the sources that measured it, and is not measured again by the same version.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from benchmarks.trainings import do
from safs import data
from safs.activations.surgery import find_sites
from safs.execution.pruned_training import after_pruning
from safs.execution.pruning import Pruning
from safs.execution.training import Training
from safs.execution.work import Context
from safs.networks import Blueprint
from safs.reuse.keys import code_version
from safs.spec.data import DataSpec
from safs.spec.pruning import PruneSpec
from safs.spec.training import Recipe
from safs.training.settings import TrainingData

DENSE_EPOCHS, PRUNING_EPOCHS, EPOCHS, BATCH, SPARSITY = 10, 5, 5, 64, 0.99
ADAM = Recipe(optimizer="adam", learning_rate=1e-3)
SGD = Recipe(optimizer="sgd", learning_rate=3e-2, momentum=0.9)
PRUNINGS = {
    "one-shot": PruneSpec(distribution="global"),
    "cubic by SGD 3e-2": PruneSpec(schedule="cubic", distribution="global", epochs=PRUNING_EPOCHS, recipe=SGD),
}
OPERATORS = ("relu", "identity", "elu", "swish")
RECIPES = {
    "Adam 1e-3": ADAM,
    "cycle to 1e-2": Recipe(optimizer="adam", learning_rate=1e-2, schedule="one_cycle"),
    "cycle to 3e-2": Recipe(optimizer="adam", learning_rate=3e-2, schedule="one_cycle"),
}

Line = dict[str, Any]


def main() -> None:
    """Measure the missing cells, then print the table."""
    arguments = _arguments()
    torch.set_num_threads(1)
    for seed in arguments.seeds:
        _measure(seed, arguments)
    print(table(_read(arguments.results)))


def table(lines: Sequence[Line]) -> str:
    """Mean validation accuracy over seeds by operator and recipe, as a Markdown table with a column a pruning."""
    rows = [f"| operator; recipe | {' | '.join(PRUNINGS)} |", "|---|" + "---|" * len(PRUNINGS)]
    for operator, recipe in product(OPERATORS, RECIPES):
        found = [
            [
                line["validation"]
                for line in lines
                if (line["operator"], line["recipe"], line["pruning"]) == (operator, recipe, pruning)
            ]
            for pruning in PRUNINGS
        ]
        cells = [f"{fmean(one):.1%} ({len(one)})" if one else "" for one in found]
        rows.append(f"| {operator}; {recipe} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _measure(seed: int, arguments: argparse.Namespace) -> None:
    known = {
        (one["pruning"], one["operator"], one["recipe"]) for one in _read(arguments.results) if one["seed"] == seed
    }
    cells = [cell for cell in product(PRUNINGS, OPERATORS, RECIPES) if cell not in known]
    if not cells:
        return
    spec = DataSpec(dataset=arguments.dataset, validation_fraction=0.3)
    splits = data.load(spec, root=arguments.data_root, channels=1, image_size=28, seed=seed)
    dense = Context(Blueprint("lenet5", 1, 28, 10), TrainingData(splits.train, splits.validation, BATCH))
    trained = do(Training({}, ADAM, DENSE_EPOCHS, seed), dense)
    assert trained.network is not None
    sites = [site.path for site in find_sites(dense.blueprint.build())]
    starts: dict[str, Context] = {}
    for pruning, operator, recipe in cells:
        if pruning not in starts:
            work = Pruning(PRUNINGS[pruning], SPARSITY, PRUNINGS[pruning].recipe or ADAM, seed)
            network = do(work, replace(dense, start=trained.network.state)).network
            assert network is not None
            starts[pruning] = after_pruning(dense, network)
        assignment = {} if operator == "relu" else dict.fromkeys(sites, operator)
        tuning = Training(assignment, RECIPES[recipe], EPOCHS, seed, learnable=recipe != "Adam 1e-3")
        outcome = do(tuning, starts[pruning]).outcome
        line = {
            "seed": seed,
            "pruning": pruning,
            "operator": operator,
            "recipe": recipe,
            "validation": outcome.metrics.get("accuracy", 0.0),
            "code": code_version(),
        }
        with arguments.results.open("a") as file:
            print(json.dumps(line), file=file)


def _read(results: Path) -> list[Line]:
    lines = results.read_text().splitlines() if results.exists() else []
    return [line for line in map(json.loads, lines) if line["code"] == code_version()]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--dataset", default="digits", help="data set (default: digits)")
    add("--seeds", nargs="*", type=int, default=[0, 1, 2], help="seeds (default: 0 1 2)")
    add("--data-root", type=Path, help="folder of the data sets")
    add("--results", type=Path, default=Path("portfolio.jsonl"), help="results file (default: portfolio.jsonl)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
