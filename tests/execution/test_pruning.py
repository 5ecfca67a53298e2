"""Contract of every pruning method on every kind of network, by real prunings."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

from safs import checkpoint, data
from safs.data import Split, TensorSplit
from safs.data.features import select
from safs.errors import SparsityError, SpecError
from safs.execution.pruning import Pruning, PruningRun
from safs.execution.training import Training, TrainingRun
from safs.execution.work import Context, Trained
from safs.models import MODELS, InputShape, ModelEntry, architectures
from safs.models.resnet import BasicBlock, ResNet
from safs.networks import Blueprint, Network, assemble
from safs.pruning.masks import prunable_parameters
from safs.pruning.protocol import PruningTask
from safs.pruning.pruners import PRUNERS
from safs.registry import Registry
from safs.spec.data import DataSpec
from safs.spec.presets import METHODS
from safs.spec.pruning import PruneSpec
from safs.spec.training import Recipe
from safs.training.settings import TrainingData

pytestmark = pytest.mark.slow

BATCH = 32
SMALL = ("mlp", "lenet5", "narrow_resnet18")
BLUEPRINTS = {
    "mlp": Blueprint("mlp", 1, 8, 10),
    "lenet5": Blueprint("lenet5", 1, 28, 10),
    "narrow_resnet18": Blueprint("narrow_resnet18", 1, 8, 10),
    "resnet18": Blueprint("resnet18", 1, 8, 10),
}


class NarrowResNet(ResNet):
    """``resnet18`` with an eighth of its width."""

    def __init__(self, channels: int, classes: int) -> None:
        nn.Module.__init__(self)
        self.conv1, self.bn1 = nn.Conv2d(channels, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.relu = nn.ReLU()
        self.layer1, self.layer2 = _blocks(8, 8, 1), _blocks(8, 16, 2)
        self.layer3, self.layer4 = _blocks(16, 32, 2), _blocks(32, 64, 2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, classes)


def _blocks(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(BasicBlock(inputs, outputs, stride), BasicBlock(outputs, outputs, 1))


@pytest.fixture(scope="module", autouse=True)
def with_narrow_resnet18() -> Iterator[None]:
    def build(shape: InputShape, classes: int) -> nn.Module:
        return NarrowResNet(shape.channels, classes)

    entry = ModelEntry("narrow_resnet18", build, lambda wanted: wanted, "", "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(architectures, "MODELS", Registry("architecture", dict(MODELS) | {entry.name: entry}))
        yield


@dataclass(frozen=True)
class Case:
    """A pruning method, with options if it needs any, on a network."""

    architecture: str
    method: str
    granularity: str | None = None
    sparsity: float = 0.9

    @property
    def spec(self) -> PruneSpec:
        given = {"method": self.method, "granularity": self.granularity or METHODS[self.method].get("granularity")}
        options = {"rounds": 2} if self.method in ("ap", "synflow") else {}
        spec = PruneSpec(**{name: value for name, value in given.items() if value}, options=options)
        epochs = 3 if self.method == "ap" else 2
        return spec.model_copy(update={"epochs": 0 if spec.schedule == "one_shot" else epochs})


CASES = [
    *(Case(architecture, method) for architecture in ("mlp", "narrow_resnet18") for method in PRUNERS),
    Case("lenet5", "magnitude"),
    *(
        pytest.param(Case("lenet5", method), marks=pytest.mark.exhaustive)
        for method in PRUNERS
        if method != "magnitude"
    ),
    *(Case(architecture, method, "filter") for architecture in SMALL for method in ("magnitude", "greg1")),
    *(Case("lenet5", "magnitude", granularity) for granularity in ("input_channel", "column", "row")),
    *(Case(architecture, "magnitude", "2:4", 0.5) for architecture in SMALL),
    pytest.param(Case("resnet18", "magnitude"), marks=pytest.mark.exhaustive),
]
every_case = pytest.mark.parametrize(
    "case", CASES, ids=lambda case: "-".join(filter(None, (case.architecture, case.method, case.granularity)))
)


@cache
def images(architecture: str) -> TrainingData:
    """64 training and 64 validation digits, as the network takes them."""
    blueprint = BLUEPRINTS[architecture]
    splits = data.load(
        DataSpec(dataset="digits"), root=None, channels=blueprint.channels, image_size=blueprint.image_size, seed=0
    )
    return TrainingData(few(splits.train, 64), few(splits.validation, 64), BATCH)


def few(split: Split, count: int) -> TensorSplit:
    assert isinstance(split, TensorSplit)
    return replace(split, images=split.images[:count], labels=split.labels[:count])


@cache
def dense(architecture: str) -> Context:
    """A context whose network was trained for two epochs."""
    context = Context(BLUEPRINTS[architecture], images(architecture))
    network = trained(context, Training({}, Recipe(), 2, 0)).network
    assert network is not None
    return replace(context, start=network.state)


def trained(context: Context, training: Training) -> Trained:
    run = TrainingRun(context, training, "cpu")
    while not run.finished:
        run.advance(60.0)
    return run.trained()


def pruned_anew(case: Case) -> Network:
    recipe = case.spec.recipe or Recipe()
    run = PruningRun(dense(case.architecture), Pruning(case.spec, case.sparsity, recipe, seed=3), "cpu")
    while not run.finished:
        run.advance(60.0)
    result = run.trained()
    assert result.outcome.error is None
    assert result.network is not None
    assert len(result.outcome.curve) == case.spec.epochs
    return result.network


pruned: Callable[[Case], Network] = cache(pruned_anew)


def after_pruning(network: Network) -> Context:
    """The context of the trainings after pruning."""
    data = images(network.blueprint.architecture).select(network.blueprint.form.inputs)
    return Context(network.blueprint, data, network.state, network.masks)


@every_case
def test_exactly_as_many_weights_live_as_were_asked_for_and_no_layer_is_dead(case: Case) -> None:
    found = pruned(case).sparsity()

    dense_weights = sum(
        parameter.numel() for parameter in prunable_parameters(BLUEPRINTS[case.architecture].build()).values()
    )
    assert found.weights == dense_weights
    assert found.live == dense_weights - round(case.sparsity * dense_weights)
    assert all(layer.live >= 1 for layer in found.layers if layer.stored)


@every_case
def test_masks_are_binary_and_say_the_same_as_the_zeros(case: Case) -> None:
    network = pruned(case)

    model = network.blueprint.build(state=network.state)
    assert network.masks is not None
    assert set(network.masks) == set(prunable_parameters(model))
    for name, mask in network.masks.items():
        assert mask.dtype == torch.bool
        assert torch.equal(network.state[name] != 0, mask), name


@every_case
def test_the_masks_are_held_through_training(case: Case) -> None:
    network = pruned(case)

    after = trained(after_pruning(network), Training({}, Recipe(learning_rate=1e-2), 1, 0)).network

    assert after is not None
    assert network.masks is not None
    for name, mask in network.masks.items():
        assert torch.equal(after.state[name] != 0, mask), name
    assert any(not torch.equal(after.state[name], network.state[name]) for name in network.masks)


@every_case
def test_the_same_seed_gives_the_same_network(case: Case) -> None:
    first, second = pruned(case), pruned_anew(case)

    assert first.blueprint == second.blueprint
    assert first.state.keys() == second.state.keys()
    assert all(torch.equal(value, second.state[name]) for name, value in first.state.items())


@every_case
def test_the_saved_network_computes_on_whole_images_what_it_computed(case: Case, tmp_path: Path) -> None:
    network = pruned(case)
    validation = images(case.architecture).validation
    inputs = network.blueprint.form.inputs
    whole, _ = next(validation.batches(64, device=torch.device("cpu")))
    read, _ = next((select(validation, inputs) if inputs else validation).batches(64, device=torch.device("cpu")))

    checkpoint.save(tmp_path, network, {"spec": {"sparsity": case.sparsity}})

    verified = checkpoint.verify(tmp_path)
    assert verified.sparsity == network.sparsity()
    with torch.inference_mode():
        assert torch.equal(checkpoint.load(tmp_path)(whole), assemble(network)(read))


def setting(case: Case) -> PruningTask:
    blueprint = BLUEPRINTS[case.architecture]
    with torch.device("meta"):
        model = blueprint.build()
    example = torch.zeros(1, blueprint.channels, blueprint.image_size, blueprint.image_size, device="meta")
    return PruningTask(model, example, case.sparsity, case.spec, steps_per_epoch=2)


@every_case
def test_what_runs_passes_its_check(case: Case) -> None:
    PRUNERS[case.method].check(setting(case))


@pytest.mark.parametrize("method", PRUNERS)
def test_a_sparsity_that_leaves_fewer_weights_than_layers_is_refused_with_the_largest_possible(method: str) -> None:
    with pytest.raises(SparsityError, match=r"Choose a sparsity (of at most|from) 0\.\d+") as caught:
        PRUNERS[method].check(setting(Case("lenet5", method, sparsity=0.99999)))

    assert caught.value.field == "sparsity"


@pytest.mark.parametrize("method", PRUNERS)
def test_an_option_that_does_not_exist_is_refused_by_name(method: str) -> None:
    asked = setting(Case("mlp", method))
    spec = asked.spec.model_copy(update={"options": {"no_such_option": 1}})

    with pytest.raises(SpecError, match="no_such_option") as caught:
        PRUNERS[method].check(replace(asked, spec=spec))

    assert caught.value.field == "prune.options.no_such_option"


@pytest.mark.parametrize("method", [method for method in PRUNERS if METHODS[method].get("schedule")])
def test_a_method_that_trains_refuses_to_do_so_for_no_epoch(method: str) -> None:
    asked = setting(Case("mlp", method))

    with pytest.raises(SpecError, match=r"epochs.* at least \d+|at least \d+ epoch") as caught:
        PRUNERS[method].check(replace(asked, spec=asked.spec.model_copy(update={"epochs": 0})))

    assert caught.value.field == "prune.epochs"
