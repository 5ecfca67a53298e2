"""Measures the arms of a claim and appends them to the results file."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.claims.papers import ADAM, BATCH, DENSE, PRUNING, TUNING, Arm, Claim
from benchmarks.searches.cells import Scale, prepare
from benchmarks.trainings import do, network_of
from safs import data
from safs.activations.surgery import find_sites
from safs.data import Splits
from safs.data.tensor_split import TensorSplit
from safs.execution.pruned_training import after_pruning
from safs.execution.pruning import Pruning
from safs.execution.training import Training, score
from safs.execution.work import Context
from safs.networks import Blueprint, Network
from safs.pipeline.layer_metrics import measure
from safs.pruning.pruners import PRUNERS
from safs.reuse.keys import code_version
from safs.spec.data import DataSpec
from safs.spec.pruning import PruneSpec
from safs.spec.training import Recipe
from safs.training.settings import TrainingData

Line = dict[str, Any]


def read(results: Path) -> list[Line]:
    """The lines that the present sources measured."""
    lines = results.read_text().splitlines() if results.exists() else []
    return [line for line in map(json.loads, lines) if line["code"] == code_version()]


def append(line: Line, results: Path) -> None:
    """Add a line to the results file, with the version of the sources."""
    with results.open("a") as file:
        print(json.dumps(line | {"code": code_version()}), file=file)


def measure_claim(name: str, claim: Claim, seed: int, results: Path) -> None:
    """Measure the arms of a claim that the results file lacks, with each recipe."""
    known = {(one["arm"], one["recipe"]) for one in read(results) if (one["claim"], one["seed"]) == (name, seed)}
    missing = [(arm, recipe) for arm in claim.arms for recipe in claim.recipes if (arm, recipe) not in known]
    if not missing:
        return
    dense = train_dense(claim, load(claim, seed, results.parent), seed)
    for arm, recipe in missing:
        line = {"claim": name, "seed": seed, "arm": arm, "recipe": recipe}
        append(line | _measure(claim, claim.arms[arm], claim.recipes[recipe], dense), results)


@dataclass(frozen=True, slots=True)
class Dense:
    """The dense network that all arms of a seed start from."""

    context: Context
    splits: Splits
    seed: int
    pruned: dict[tuple[str, str], Network] = field(default_factory=dict)
    """Networks that arms pruned, by section and recipe: arms with other operators share them."""


def load(claim: Claim, seed: int, folder: Path) -> Splits:
    """The claim's data; a part of a data set is kept under ``folder``."""
    spec, root = DataSpec(dataset=claim.dataset, validation_fraction=0.2), None
    if claim.images is not None:
        scale = Scale(claim.dataset, claim.images, BATCH, 0.2, DENSE, 1, TUNING, claim.image_size)
        spec, root = prepare(scale, folder, None)
    return data.load(spec, root=root, channels=1, image_size=claim.image_size, seed=seed)


def train_dense(claim: Claim, splits: Splits, seed: int) -> Dense:
    """The dense network, trained with Adam."""
    blueprint = Blueprint(claim.architecture, 1, claim.image_size, splits.classes)
    context = Context(blueprint, TrainingData(splits.train, splits.validation, BATCH))
    trained = network_of(do(Training({}, claim.recipes[ADAM], DENSE, seed), context))
    return Dense(replace(context, start=trained.state), splits, seed)


def blank_others(splits: Splits, pixels: torch.Tensor) -> Splits:
    """The data with every other pixel than ``pixels`` set to the mean of the training split."""

    def blank(split: data.Split) -> TensorSplit:
        assert isinstance(split, TensorSplit)
        mean = split.mean.to(split.images.dtype)
        images = mean[None, :, None, None].expand_as(split.images).clone()
        images.flatten(2)[:, :, pixels] = split.images.flatten(2)[:, :, pixels]
        return replace(split, images=images)

    return replace(splits, train=blank(splits.train), validation=blank(splits.validation), test=blank(splits.test))


def _measure(claim: Claim, arm: Arm, recipe: Recipe, dense: Dense) -> dict[str, float]:
    pruned = _prune(claim, arm, recipe, dense)
    if arm.random_inputs:
        splits = blank_others(dense.splits, _draw(pruned, dense.seed))
        dense = train_dense(claim, splits, dense.seed)
        pruned = _prune(claim, arm, recipe, dense)
    return _tune(arm, recipe, dense, pruned)


def _prune(claim: Claim, arm: Arm, recipe: Recipe, dense: Dense) -> Network:
    spec = PruneSpec.model_validate(arm.prune)
    if spec.schedule != "one_shot":
        epochs = PRUNING + DENSE if PRUNERS[spec.method].from_scratch else PRUNING
        spec = PruneSpec.model_validate({**arm.prune, "epochs": epochs, "recipe": recipe.model_dump()})
    key = (spec.model_dump_json(), recipe.model_dump_json())
    if key not in dense.pruned:
        work = Pruning(spec, claim.sparsity, recipe, dense.seed)
        dense.pruned[key] = network_of(do(work, dense.context))
    return dense.pruned[key]


def _tune(arm: Arm, recipe: Recipe, dense: Dense, pruned: Network) -> dict[str, float]:
    one_shot = PruneSpec.model_validate(arm.prune).schedule == "one_shot"
    epochs = arm.tuning or TUNING + (PRUNING if one_shot else 0)
    sites = [site.path for site in find_sites(dense.context.blueprint.build())]
    assignment = {} if arm.operator in (None, "relu") else dict.fromkeys(sites, arm.operator)
    tuned = do(Training(assignment, recipe, epochs, dense.seed), after_pruning(dense.context, pruned))
    network = network_of(tuned)
    totals = measure(network, dense.splits.validation, 256, "cpu").totals
    return {
        "validation": tuned.outcome.metrics["accuracy"],
        "test": score(network, dense.splits.test, 256, "cpu").accuracy,
        "dead": totals.dead_dynamic,
        "operations": totals.flops_sparse / totals.flops_dense,
        "inputs": _inputs(network),
    }


def _inputs(network: Network) -> int:
    kept = network.blueprint.form.inputs
    return len(kept.kept) if kept is not None else network.blueprint.channels * network.blueprint.image_size**2


def _draw(pruned: Network, seed: int) -> torch.Tensor:
    """As many pixels as ``pruned`` reads, at random."""
    pixels = pruned.blueprint.image_size**2
    return torch.randperm(pixels, generator=torch.Generator().manual_seed(seed))[: _inputs(pruned)]
