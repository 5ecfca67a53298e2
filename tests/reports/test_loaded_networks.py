"""A loaded network behaves like any other module, and its zeros stay zero where its owner trains it further."""

import copy
import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim, export

import safs
from safs.checkpoint import save
from safs.inputs import InputSelection
from safs.models.form import Form
from safs.networks import Blueprint, Network
from safs.pruning.masks import apply_masks, prunable_parameters
from tests.pruning.magnitude import magnitude_masks

IMAGES = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
LENET = Blueprint("lenet5", 1, 28, 10)
PIXELS = Blueprint(
    "mlp", 1, 28, 10, Form({"hidden.0.linear.weight": (256, 20)}, InputSelection("pixel", tuple(range(5, 25))))
)


@pytest.fixture(params=["lenet5", "mlp that reads 20 pixels"])
def network(request: pytest.FixtureRequest, tmp_path: Path) -> nn.Module:
    """A loaded network at 90% sparsity with operators whose scalars were trained."""
    whole = request.param == "lenet5"
    blueprint, site = (LENET, "relu1") if whole else (PIXELS, "hidden.0.relu")
    model = blueprint.build(seed=0)
    masks = magnitude_masks(model, 0.9)
    apply_masks(prunable_parameters(model), masks)
    scalars = {site: {"alpha": 0.9, "beta": 1.7}}
    save(tmp_path, Network(blueprint, dict(model.state_dict()), masks, {site: "swish"}, scalars), {"spec": {}})
    return _load(tmp_path)


def _load(folder: Path) -> nn.Module:
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"spec": {}', '"spec": {"sparsity": 0.9}'))
    return safs.load(folder)


def test_it_is_deep_copied_and_the_copy_is_independent(network: nn.Module) -> None:
    expected = network(IMAGES)

    copied = copy.deepcopy(network)
    for parameter in copied.parameters():
        nn.init.zeros_(parameter)

    assert torch.equal(network(IMAGES), expected)
    assert not torch.equal(copied(IMAGES), expected)


def test_it_is_pickled(network: nn.Module) -> None:
    copied = pickle.loads(pickle.dumps(network))  # noqa: S301  # made on the same line
    assert torch.equal(copied(IMAGES), network(IMAGES))


def test_it_is_exported_with_a_batch_of_any_size(network: nn.Module) -> None:
    program = export(network, (IMAGES,), dynamic_shapes=({0: Dim("batch")},))

    larger = torch.cat([IMAGES, IMAGES.flip(0)])
    assert torch.allclose(program.module()(larger), network(larger), atol=1e-6)


def test_torch_fx_traces_it_again(network: nn.Module) -> None:
    traced = torch.fx.symbolic_trace(network)

    assert torch.equal(traced(IMAGES), network(IMAGES))


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "AdamW"])
def test_zeros_that_are_held_stay_zero_and_the_other_weights_learn(network: nn.Module, optimizer: str) -> None:
    before = {name: weight.detach().clone() for name, weight in prunable_parameters(network).items()}
    extra = {"momentum": 0.9, "weight_decay": 0.01} if optimizer == "SGD" else {"weight_decay": 0.01}

    safs.hold_zeros(network.train())
    _train(network, getattr(torch.optim, optimizer)(network.parameters(), lr=0.01, **extra))

    for name, weight in prunable_parameters(network).items():
        assert not weight[before[name] == 0].any()
        assert not torch.equal(weight, before[name])


def test_without_that_a_single_step_fills_zeros(network: nn.Module) -> None:
    zeros = _zeros(network)

    _train(network.train(), torch.optim.Adam(network.parameters(), lr=0.01), steps=1)

    assert _zeros(network) < zeros


def test_zeros_are_released_again(network: nn.Module) -> None:
    zeros = _zeros(network)
    for handle in safs.hold_zeros(network.train()):
        handle.remove()

    _train(network, torch.optim.Adam(network.parameters(), lr=0.01), steps=1)

    assert _zeros(network) < zeros


def _zeros(network: nn.Module) -> int:
    return sum(int((weight == 0).sum()) for weight in prunable_parameters(network).values())


def _train(network: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 3) -> None:
    labels: Tensor = torch.tensor([1, 2, 3])
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(IMAGES), labels).backward()
        optimizer.step()
