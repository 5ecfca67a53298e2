"""Trainings, prunings and measurements on another device give the CPU's numbers, with few reads by the host."""

from collections.abc import Callable
from dataclasses import astuple, replace
from functools import cache

import pytest
import torch

from safs import data
from safs.activations.operators import OPERATORS
from safs.data import TensorSplit
from safs.execution.pruning import Pruning, PruningRun
from safs.execution.training import Training, TrainingRun, score
from safs.execution.work import Context, Run
from safs.metrics.dead_neurons import measure_dead_neurons
from safs.metrics.gradient_flow import measure_gradient_flow
from safs.networks import Blueprint, Network, assemble
from safs.pruning.masks import prunable_parameters
from safs.pruning.pruners import PRUNERS
from safs.spec.data import DataSpec
from safs.spec.pruning import PruneSpec
from safs.spec.training import Recipe
from safs.training.learning_rate_schedules import SCHEDULES
from safs.training.optimizers import OPTIMIZERS
from safs.training.settings import TrainingData
from safs.training.snapshot import Snapshot
from tests.pruning.magnitude import magnitude_masks
from tests.simulated_device import DEVICE, simulated_device

BLUEPRINT = Blueprint("lenet5", 1, 28, 10)
READS_PER_EPOCH = 2
"""One for the training loss, one for the evaluation; none in the loop over the batches."""
DRAWS_ON_THE_DEVICE = {"set", "rigl", "east"}
"""Pruning methods that draw weights on the device, whose generator has other numbers than the CPU's."""


@cache
def context() -> Context:
    splits = data.load(DataSpec(dataset="digits"), root=None, channels=1, image_size=28, seed=0)
    model = BLUEPRINT.build(0)
    return Context(
        BLUEPRINT,
        TrainingData(few(splits.train, 80), few(splits.validation, 40), 32, augment=True),
        {name: tensor.clone() for name, tensor in model.state_dict().items()},
        magnitude_masks(model, 0.9),
    )


def few(split: object, count: int) -> TensorSplit:
    assert isinstance(split, TensorSplit)
    return replace(split, images=split.images[:count], labels=split.labels[:count], crop_and_flip=True)


def training(recipe: Recipe, **settings: object) -> Training:
    return Training({}, recipe, **({"epochs": 2, "seed": 0} | settings))


def finished(run: Run) -> Run:
    while not run.finished:
        run.advance(60.0)
    assert run.outcome().error is None
    return run


def numbers(run: Run) -> list[tuple[float, ...]]:
    return [astuple(metrics)[:-1] for metrics in run.outcome().curve]


def same_weights(one: Network, other: Network) -> bool:
    return all(torch.equal(tensor, other.state[name]) for name, tensor in one.state.items())


@pytest.mark.parametrize(
    "recipe",
    [
        *(Recipe(optimizer=name, learning_rate=1e-2, weight_decay=1e-3) for name in OPTIMIZERS),
        *(Recipe(optimizer="sgd", momentum=0.9, schedule=name, learning_rate=1e-2) for name in SCHEDULES),
    ],
    ids=lambda recipe: f"{recipe.optimizer}-{recipe.schedule}",
)
def test_a_training_on_the_device_has_the_cpus_numbers_and_reads_none_in_its_loop(recipe: Recipe) -> None:
    expected = finished(TrainingRun(context(), training(recipe), "cpu"))

    with simulated_device() as device:
        run = finished(TrainingRun(context(), training(recipe), str(DEVICE)))
        reads = list(device.reads)
        trained = run.trained().network

    assert numbers(run) == numbers(expected)
    assert len(reads) == 2 * READS_PER_EPOCH
    network = expected.trained().network
    assert trained is not None
    assert network is not None
    assert same_weights(trained, network)


@pytest.mark.parametrize(
    "operator",
    [pytest.param(name, marks=() if name in ("acon", "symlog") else pytest.mark.exhaustive) for name in OPERATORS],
)
def test_a_trial_with_every_operator_runs_on_the_device(operator: str) -> None:
    sites = list(assemble(Network(BLUEPRINT, context().start or {})).activations)
    trial = replace(training(Recipe(), epochs=1, learnable=True), assignment=dict.fromkeys(sites, operator))
    expected = finished(TrainingRun(context(), trial, "cpu"))

    with simulated_device():
        run = finished(TrainingRun(context(), trial, str(DEVICE)))
        scalars = run.trained()

    assert numbers(run) == numbers(expected)
    assert scalars.network is not None
    expected_network = expected.trained().network
    assert expected_network is not None
    assert scalars.network.scalars == expected_network.scalars


def test_a_training_on_the_device_goes_on_from_its_snapshot() -> None:
    recipe = Recipe(optimizer="nadam", learning_rate=1e-2)
    expected = finished(TrainingRun(context(), training(recipe), "cpu"))

    with simulated_device():
        first = finished(TrainingRun(context(), training(recipe, until=1), str(DEVICE)))
        snapshot = first.snapshot()
        assert isinstance(snapshot, Snapshot)
        rest = finished(TrainingRun(context(), training(recipe), str(DEVICE), snapshot))

    assert numbers(rest) == numbers(expected)


@pytest.mark.parametrize("method", PRUNERS)
def test_every_method_prunes_on_the_device(method: str) -> None:
    given = PruneSpec(method=method, options={"rounds": 2} if method in ("ap", "synflow") else {})
    epochs = {"ap": 3}.get(method, 2)
    spec = given.model_copy(update={"epochs": 0 if given.schedule == "one_shot" else epochs})
    dense = replace(context(), masks=None)

    def pruned(device: str) -> Network:
        network = finished(PruningRun(dense, Pruning(spec, 0.9, Recipe(), seed=3), device)).trained().network
        assert network is not None
        return network

    expected = pruned("cpu")
    with simulated_device():
        network = pruned(str(DEVICE))

    assert network.sparsity().live == expected.sparsity().live
    if method not in DRAWS_ON_THE_DEVICE:
        assert same_weights(network, expected)


@pytest.mark.parametrize(
    "measure",
    [
        lambda model, split, device: measure_dead_neurons(model, split, batch_size=16, device=device),
        lambda model, split, device: measure_gradient_flow(
            model, prunable_parameters(model), split, batch_size=16, device=device
        ),
    ],
    ids=["dead neurons", "gradient flow"],
)
def test_measurements_on_the_device_are_the_cpus(measure: Callable[..., object]) -> None:
    def measured(device: torch.device) -> object:
        model = assemble(Network(BLUEPRINT, context().start or {}, context().masks)).to(device)
        split = context().data.on(device).validation
        return measure(model, split, device)

    expected = measured(torch.device("cpu"))
    with simulated_device():
        assert measured(DEVICE) == expected


def test_a_network_is_scored_on_the_device_with_one_read() -> None:
    network = Network(BLUEPRINT, context().start or {}, context().masks)
    expected = score(network, context().data.validation, 16, "cpu")

    with simulated_device() as device:
        scored = score(network, context().data.validation, 16, str(DEVICE))

    assert scored == expected
    assert len(device.reads) == 1
