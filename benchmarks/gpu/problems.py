"""The trainings that are measured: networks, images of noise in the device's memory, and trials of a search."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice

import torch

from safs.activations.operators import OPERATORS
from safs.activations.surgery import find_sites
from safs.data import TensorSplit
from safs.execution.training import Training
from safs.execution.work import Context
from safs.networks import Blueprint
from safs.spec.training import Recipe
from workers.on_ray.gpu_probe import synthetic_context

SPARSITY = 0.99
NETWORKS = {
    "lenet5": Blueprint("lenet5", 1, 28, 10),
    "mlp": Blueprint("mlp", 1, 28, 10),
    "resnet18": Blueprint("resnet18", 3, 32, 10),
}
OPTIMIZER_NAMES = ("adam", "sgd", "nadam")


@dataclass(frozen=True, slots=True)
class Size:
    """The number of images and steps that are measured."""

    batch: int
    steps: int
    """Optimizer steps of an epoch."""


def problem(network: str, size: Size, device: str) -> Context:
    """A context of noise with random masks, whose epochs have ``size.steps`` steps, on ``device``."""
    context = synthetic_context(NETWORKS[network], size.batch, SPARSITY)
    train = context.data.train
    assert isinstance(train, TensorSplit)
    chosen = torch.tensor(list(islice(cycle(range(len(train))), size.steps * size.batch)))
    repeated = replace(train, images=train.images[chosen], labels=train.labels[chosen])
    start = {name: value.clone() for name, value in context.blueprint.build(0).state_dict().items()}
    data = replace(context.data, train=repeated).on(torch.device(device))
    return replace(context, data=data, start=start)


def trials(blueprint: Blueprint, count: int, epochs: int) -> list[Training]:
    """Trials of a joint search: operators, optimizers and rates differ; seed and length are the same."""
    sites = [site.path for site in find_sites(blueprint.build(0))]
    names = list(OPERATORS)
    return [
        Training(
            {site: names[(number * 7 + place * 3) % len(names)] for place, site in enumerate(sites)},
            Recipe(optimizer=OPTIMIZER_NAMES[number % 3], learning_rate=1e-4 * (1 + number % 5)),
            epochs,
            seed=0,
            learnable=True,
        )
        for number in range(count)
    ]


def wait(device: str) -> None:
    """Wait until the device has finished its work."""
    if device == "cuda":
        torch.cuda.synchronize()


def operators_of(trainings: Sequence[Training]) -> set[str]:
    """All operators of the trainings."""
    return {operator for training in trainings for operator in training.assignment.values()}
