"""The first rung of successive halving: which number of first epochs finds the best trials for the same epochs.

    python -m benchmarks.first_rung                         48 configurations a length: half an hour on one core
    python -m benchmarks.first_rung --configurations 8 --epochs 5 --images 2000
    python -m benchmarks.first_rung --configurations 0      measures nothing, prints the table from the results

LeNet-5 on a part of Fashion-MNIST is pruned once. Random points of the joint space, after the portfolio, are trained to
the end, and their learning curves are stored. Successive halving is then replayed over these curves, many times, with
each length of the first rung and as many configurations as the same epochs allow. A trial that ended after its first
epochs would have had the same accuracies, since all trials train under the schedule of the longest ones.
"""

import argparse
import json
from dataclasses import astuple, replace
from itertools import combinations
from math import inf
from pathlib import Path
from statistics import fmean, stdev

import torch
from ConfigSpace import CategoricalHyperparameter, ConfigurationSpace

from benchmarks.searches.cells import Scale, prepare
from safs import data
from safs.events.kinds import Event, Stage
from safs.execution.executor import Task
from safs.execution.pruning import Pruning
from safs.execution.serial import SerialExecutor
from safs.execution.training import Training
from safs.execution.work import Context, Trained
from safs.preflight import check
from safs.search.asha import Asha
from safs.search.random import RandomSearch
from safs.search.warm_start import WarmStart
from safs.spec.halving import HalvingOptions, halving_cost, levels
from safs.spec.job import JobSpec
from safs.spec.training import Recipe
from safs.training.settings import TrainingData
from safs.trials import Candidate, EpochMetrics, Outcome, Trial, best_trial
from search_spaces import SPACES

REPLAYS = 400
"""Replays of each search. Each draws its configurations anew from the measured ones."""
DENSE_EPOCHS, PRUNING_EPOCHS = 8, 4
BUDGETS = {5: 56, 8: 80}
"""Epochs of the longest trials -> epochs of a whole search: those of the presets ``quick`` and ``balanced``."""


def main() -> None:
    """Measure the missing curves and print the table."""
    arguments = _arguments()
    torch.set_num_threads(1)
    arguments.results.mkdir(parents=True, exist_ok=True)
    for epochs in arguments.epochs:
        stored = arguments.results / f"curves-{arguments.images}-{epochs}.jsonl"
        known = stored.read_text().splitlines() if stored.exists() else []
        if len(known) < arguments.configurations:
            _measure(stored, len(known), epochs, arguments)
        curves = [[EpochMetrics(*epoch) for epoch in json.loads(line)] for line in stored.read_text().splitlines()]
        print(f"\n{epochs} epochs, {len(curves)} configurations, best {max(map(_best, curves)):.1%}")
        print("| first epochs | eta | rungs | configurations | epochs | best trial found, mean | +- of the mean |")
        print("|---|---|---|---|---|---|---|")
        print(f"\nKendall's tau with the end: {', '.join(f'{tau(curves, k):.2f}' for k in range(1, epochs))}")
        for first in range(1, min(4, epochs)):
            for eta in (2, 3):
                print(_row(curves, HalvingOptions(min_epochs=first, eta=eta), epochs))


def _row(curves: list[list[EpochMetrics]], options: HalvingOptions, epochs: int) -> str:
    at, trials = levels(epochs, options), 1
    while halving_cost(trials + 1, at, options.eta).epochs <= BUDGETS[epochs]:
        trials += 1
    found = [_replay(curves, options, min(trials, len(curves)), epochs, seed) for seed in range(REPLAYS)]
    error = stdev(found) / REPLAYS**0.5
    cost = halving_cost(trials, at, options.eta).epochs
    return (
        f"| {options.min_epochs} | {options.eta} | {', '.join(map(str, at))} | {trials} | {cost} "
        f"| {fmean(found):.2%} | {error:.2%} |"
    )


def tau(curves: list[list[EpochMetrics]], epochs: int) -> float:
    """Kendall's tau between the best accuracies of the first ``epochs`` epochs and those of the whole curves."""
    pairs = [
        (_best(one[:epochs]) - _best(other[:epochs])) * (_best(one) - _best(other))
        for one, other in combinations(curves, 2)
    ]
    return sum((pair > 0) - (pair < 0) for pair in pairs) / len(pairs)


def _replay(curves: list[list[EpochMetrics]], options: HalvingOptions, trials: int, epochs: int, seed: int) -> float:
    """Final validation accuracy of the configuration that the search returns."""
    space = ConfigurationSpace(seed=seed)
    space.add(CategoricalHyperparameter("curve", range(len(curves)), default_value=seed % len(curves)))
    asha, done = Asha(space, trials=trials, epochs=epochs, seed=seed, options=options), list[Trial]()
    while (candidate := asha.ask()) is not None:
        done.append(Trial(candidate, _outcome(curves[int(candidate.config["curve"])][: candidate.epochs])))
        asha.tell(candidate, done[-1].outcome)
    winner = best_trial(done)
    assert winner is not None
    return _best(curves[int(winner.candidate.config["curve"])])


def _outcome(curve: list[EpochMetrics]) -> Outcome:
    if not curve:
        return Outcome(inf, error="diverged")
    best = max(curve, key=lambda epoch: (epoch.validation_accuracy, -epoch.validation_loss))
    metrics = {"accuracy": best.validation_accuracy, "cross_entropy": best.validation_loss}
    return Outcome(1 - best.validation_accuracy, metrics, curve=tuple(curve))


def _best(curve: list[EpochMetrics]) -> float:
    return max((epoch.validation_accuracy for epoch in curve), default=0.0)


def _measure(stored: Path, known: int, epochs: int, arguments: argparse.Namespace) -> None:
    """Append the curves of the configurations from number ``known`` on."""
    scale = Scale("fashion_mnist", arguments.images, 64, 0.1, DENSE_EPOCHS, 1, 1)
    data_spec, root = prepare(scale, arguments.results, arguments.data_root)
    prune = {"schedule": "cubic", "epochs": PRUNING_EPOCHS, "recipe": {"optimizer": "sgd", "learning_rate": 3e-2}}
    spec = JobSpec.model_validate(
        {
            "model": {"architecture": "lenet5"},
            "data": data_spec.model_dump(),
            "sparsity": 0.99,
            "train": {"epochs": DENSE_EPOCHS},
            "prune": prune,
        }
    )
    preflight = check(spec, data_root=root, weights=None)
    splits = data.load(spec.data, root=root, channels=1, image_size=preflight.blueprint.image_size, seed=0)
    context = Context(preflight.blueprint, TrainingData(splits.train, splits.validation, 64))
    recipe = Recipe(**spec.train.model_dump(exclude={"epochs"}))
    dense = _do(Training({}, recipe, DENSE_EPOCHS, 0), context).network
    assert dense is not None
    assert spec.prune.recipe is not None
    pruning = Pruning(spec.prune, spec.sparsity, spec.prune.recipe, 0)
    pruned = _do(pruning, replace(context, start=dense.state)).network
    assert pruned is not None
    start = replace(context, start=pruned.state, masks=pruned.masks)
    space = SPACES.joint(preflight.own, preflight.operators, spec.train, 0)
    random = RandomSearch(space, trials=arguments.configurations, epochs=epochs, seed=0)
    strategy = WarmStart(random, SPACES.firsts(space, spec.train), epochs=epochs, seed=0)
    with stored.open("a") as file:
        while (candidate := strategy.ask()) is not None:
            outcome = Outcome(inf)
            if candidate.number >= known:
                operators = SPACES.operators_from(candidate.config)
                assignment = {site: operators[group] for group, sites in preflight.groups.items() for site in sites}
                recipe = SPACES.recipe_from(candidate.config, spec.train)
                outcome = _do(Training(assignment, recipe, epochs, 0, learnable=True), start).outcome
                print(json.dumps([] if outcome.error else [astuple(epoch) for epoch in outcome.curve]), file=file)
                file.flush()
            strategy.tell(candidate, outcome)


def _do(work: Training | Pruning, context: Context) -> Trained:
    epochs = work.epochs if isinstance(work, Training) else work.spec.epochs
    task = Task(Candidate(0, {}, epochs, work.seed), work)
    return SerialExecutor().train(Stage.FINAL, [task], context, _ignore, lambda task, trained: None)[0]


def _ignore(event: Event) -> None:
    """Ignore an event."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--configurations", type=int, default=48, help="configurations to train to the end (default: 48)")
    add("--epochs", type=int, nargs="+", choices=BUDGETS, default=list(BUDGETS), help="lengths of the longest trials")
    add("--images", type=int, default=10_000, help="training and validation images (default: 10000)")
    add("--data-root", type=Path, help="folder of the data sets")
    add("--results", type=Path, default=Path("first-rung-results"), help="folder of the curves")
    return parser.parse_args()


if __name__ == "__main__":
    main()
