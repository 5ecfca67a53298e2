"""Dead neurons over the rounds of AP, with its controls.

One pruning of LeNet-5 on digits in ten rounds of 20%, with three epochs of SGD 1e-2 in each. The share of dead neurons
and the accuracy, both on validation images, are measured after the training of each round, before the next removal.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.claims.measuring import Dense, Line, append, load, read, train_dense
from benchmarks.claims.papers import AP_ARMS, CLAIMS, RECIPES
from benchmarks.claims.tables import mean
from safs.execution.training import score
from safs.networks import Network
from safs.pipeline.layer_metrics import measure
from safs.pruning.pruners import PRUNERS
from safs.spec.pruning import PruneSpec
from safs.training.pruning_trainer import PruningTrainer
from safs.training.settings import TrainingSettings
from safs.trials import EpochMetrics

NAME = "ap over rounds"
ROUNDS, EPOCHS = 10, 3


class Observed(PruningTrainer):
    """A trainer that measures the network after each of its trainings."""

    def __init__(self, dense: Dense, settings: TrainingSettings) -> None:
        context = dense.context
        super().__init__(context.blueprint.build(dense.seed, state=context.start), context.data, settings)
        self.seen: list[dict[str, float]] = []
        self._dense = dense

    def train(self, epochs: int, **settings: Any) -> Iterator[EpochMetrics]:
        yield from super().train(epochs, **settings)
        masks = settings["masks"]
        state = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        network = Network(self._dense.context.blueprint, state, masks)
        validation = self._dense.splits.validation
        dead = measure(network, validation, 256, "cpu").totals
        self.seen.append(
            {
                "live": float(torch.cat([mask.flatten() for mask in masks.values()]).float().mean()),
                "dead": dead.dead_dynamic,
                "static": dead.dead_static,
                "validation": score(network, validation, 256, "cpu").accuracy,
            }
        )


def measure_rounds(seed: int, results: Path) -> None:
    """Measure the arms that the results file lacks."""
    known = {line["arm"] for line in read(results) if (line["claim"], line["seed"]) == (NAME, seed)}
    missing = [arm for arm in AP_ARMS if arm not in known]
    if not missing:
        return
    claim = CLAIMS["ap"]
    dense = train_dense(claim, load(claim, seed, results.parent), seed)
    for arm in missing:
        append({"claim": NAME, "seed": seed, "arm": arm, "rounds": _course(arm, dense)}, results)


def _course(arm: str, dense: Dense) -> list[dict[str, float]]:
    """A measurement after the training of each round, and one after the last training."""
    epochs = EPOCHS * (ROUNDS + 1)
    spec = PruneSpec.model_validate({**AP_ARMS[arm].prune, "epochs": epochs})
    spec = spec.model_copy(update={"options": spec.options | {"rounds": ROUNDS}})
    trainer = Observed(dense, TrainingSettings(RECIPES["SGD 1e-2"], epochs, dense.seed))
    for _ in PRUNERS["ap"].prune(trainer, 1 - 0.8**ROUNDS, spec):
        pass
    return trainer.seen


def rounds_table(lines: list[Line]) -> str:
    """Share of dead neurons by round and arm as a Markdown table, with the accuracy after the last round."""
    own = [line for line in lines if line["claim"] == NAME]
    courses = {arm: [line["rounds"] for line in own if line["arm"] == arm] for arm in AP_ARMS}
    rows = [f"| live weights | {' | '.join(courses)} |", "|---" * (len(courses) + 1) + "|"]
    for number in range(ROUNDS + 1):
        cells = [mean([course[number]["dead"] for course in some]) for some in courses.values()]
        rows.append(f"| {100 * 0.8**number:.0f}% | {' | '.join(cells)} |")
    last = [mean([course[-1]["validation"] for course in some]) for some in courses.values()]
    return "\n".join([*rows, f"| validation accuracy, {100 * 0.8**ROUNDS:.0f}% | {' | '.join(last)} |"])
