"""The claim of each pruning paper beside its control, on scikit-learn's digits, at a scale of minutes.

    python -m benchmarks.claims                    every claim, 3 seeds
    python -m benchmarks.claims --claims ap greg
    python -m benchmarks.claims --seeds            measures nothing, prints the table

A dense network is trained for 10 epochs, pruned in 10 and fine-tuned for 5. Pruning at once has all 15 as fine-tuning;
a method that starts from new weights has those of the dense training as well. Each arm is run with Adam 1e-3 and with
SGD 1e-2 throughout, and the better one by validation counts. A measured cell is a line of the results file, with the
version of the sources that measured it, and is not measured again by the same version.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch

from safs import data
from safs.data import Splits
from safs.execution.pruned_training import after_pruning
from safs.execution.pruning import Pruning
from safs.execution.runs import Work, begin
from safs.execution.training import Training, score
from safs.execution.work import Context, Trained
from safs.networks import Blueprint, Network
from safs.pipeline.layer_metrics import measure
from safs.pruning.pruners import PRUNERS
from safs.reuse.keys import code_version
from safs.spec.data import DataSpec
from safs.spec.pruning import PruneSpec
from safs.spec.training import Recipe
from safs.training.settings import TrainingData

DENSE, PRUNING, TUNING, BATCH = 10, 10, 5, 64
RECIPES = {
    "Adam 1e-3": Recipe(optimizer="adam", learning_rate=1e-3),
    "SGD 1e-2": Recipe(optimizer="sgd", learning_rate=1e-2, momentum=0.9),
}
Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Claim:
    """A paper's claim: the setting, and the arms that it compares."""

    architecture: str
    sparsity: float
    arms: Mapping[str, Mapping[str, Any]]
    """Name -> section ``prune``, without epochs and recipe; with ``tuning``, another number of epochs after pruning."""


_STATIC = {"method": "set", "options": {"drop": 0.0}}
CLAIMS = {
    "ap": Claim(
        "mlp",
        0.9,
        {
            "ap": {"method": "ap", "distribution": "global"},
            "without activation": {"method": "ap", "distribution": "global", "options": {"activate": 0.0}},
            "positive weights": {"method": "ap", "distribution": "global", "options": {"control": True}},
        },
    ),
    "greg": Claim(
        "lenet5",
        0.99,
        {
            "one-shot": {"distribution": "global"},
            "one-shot, equal fine-tuning": {"distribution": "global", "tuning": TUNING},
            "greg1": {"method": "greg1", "distribution": "global"},
            "greg2": {"method": "greg2", "distribution": "global"},
            "cubic": {"schedule": "cubic", "distribution": "global"},
        },
    ),
    "east": Claim(
        "lenet5",
        0.999,
        {
            "east": {"method": "east"},
            "east without dynamic ReLU": {"method": "east", "options": {"dyrelu": False}},
            "rigl": {"method": "rigl"},
            "set": {"method": "set"},
            "static random mask": _STATIC,
            "cubic": {"schedule": "cubic", "distribution": "global"},
        },
    ),
}


def main() -> None:
    """Measure the missing cells, then print the tables."""
    arguments = _arguments()
    torch.set_num_threads(1)
    for name in arguments.claims:
        for seed in arguments.seeds:
            _measure(name, seed, arguments.results)
    print(tables(_read(arguments.results)))


def tables(lines: Sequence[Line]) -> str:
    """A Markdown table for each claim: test accuracy, and dead neurons for one image, each by arm."""
    text = []
    for name, claim in CLAIMS.items():
        head = f"{claim.architecture}, digits, {claim.sparsity:.1%}"
        rows = [f"| {head} | test accuracy | dead neurons | seeds |", "|---|---|---|---|"]
        for arm in claim.arms:
            best = _best([line for line in lines if (line["claim"], line["arm"]) == (name, arm)])
            cells = [_mean([line[key] for line in best]) for key in ("test", "dead")]
            rows.append(f"| {arm} | {' | '.join(cells)} | {len(best)} |")
        text.append("\n".join(rows))
    return "\n\n".join(text)


def _best(lines: Sequence[Line]) -> list[Line]:
    """For each seed that has both recipes, the line with the better validation accuracy."""
    seeds = sorted({line["seed"] for line in lines})
    own = {seed: [line for line in lines if line["seed"] == seed] for seed in seeds}
    return [max(both, key=lambda line: line["validation"]) for both in own.values() if len(both) == len(RECIPES)]


def _mean(values: Sequence[float]) -> str:
    if not values:
        return ""
    return f"{100 * fmean(values):.1f}" + (f" ± {100 * stdev(values):.1f}" if len(values) > 1 else "")


def _measure(name: str, seed: int, results: Path) -> None:
    claim = CLAIMS[name]
    known = {(one["arm"], one["recipe"]) for one in _read(results) if (one["claim"], one["seed"]) == (name, seed)}
    missing = [(arm, recipe) for arm in claim.arms for recipe in RECIPES if (arm, recipe) not in known]
    if not missing:
        return
    size = 28 if claim.architecture == "lenet5" else 8
    spec = DataSpec(dataset="digits", validation_fraction=0.2)
    splits = data.load(spec, root=None, channels=1, image_size=size, seed=seed)
    context = Context(Blueprint(claim.architecture, 1, size, 10), TrainingData(splits.train, splits.validation, BATCH))
    dense = _network(_do(Training({}, RECIPES["Adam 1e-3"], DENSE, seed), context))
    for arm, recipe in missing:
        line = {"claim": name, "seed": seed, "arm": arm, "recipe": recipe, "code": code_version()}
        line |= _arm(claim, claim.arms[arm], RECIPES[recipe], replace(context, start=dense.state), splits, seed)
        with results.open("a") as file:
            print(json.dumps(line), file=file)


def _arm(
    claim: Claim, section: Mapping[str, Any], recipe: Recipe, dense: Context, splits: Splits, seed: int
) -> dict[str, float]:
    section = dict(section)
    wanted = section.pop("tuning", None)
    spec = PruneSpec.model_validate(section)
    if spec.schedule != "one_shot":
        epochs = PRUNING + DENSE if PRUNERS[spec.method].from_scratch else PRUNING
        spec = PruneSpec.model_validate({**section, "epochs": epochs, "recipe": recipe.model_dump()})
    pruned = _network(_do(Pruning(spec, claim.sparsity, recipe, seed), dense))
    tuning = TUNING + (PRUNING if spec.schedule == "one_shot" else 0)
    tuned = _do(Training({}, recipe, wanted or tuning, seed), after_pruning(dense, pruned))
    network = _network(tuned)
    return {
        "validation": tuned.outcome.metrics["accuracy"],
        "test": score(network, splits.test, 256, "cpu").accuracy,
        "dead": measure(network, splits.validation, 256, "cpu").totals.dead_dynamic,
    }


def _do(work: Work, context: Context) -> Trained:
    run = begin(context, work, "cpu")
    while not run.finished:
        run.advance(60.0)
    return run.trained()


def _network(trained: Trained) -> Network:
    assert trained.network is not None, trained.outcome.error
    return trained.network


def _read(results: Path) -> list[Line]:
    lines = results.read_text().splitlines() if results.exists() else []
    return [line for line in map(json.loads, lines) if line["code"] == code_version()]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--claims", nargs="+", choices=CLAIMS, default=list(CLAIMS), help="claims (default: all)")
    add("--seeds", nargs="*", type=int, default=[0, 1, 2], help="seeds (default: 0 1 2)")
    add("--results", type=Path, default=Path("claims.jsonl"), help="results file (default: claims.jsonl)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
