"""Surgery on whole torchvision networks, at the smallest image that each accepts.

One network of each family is trained for real, and relatives with other calls are rewired on the meta device. The
exhaustive tests train the relatives, too, and rewire every network of torchvision.
"""

import copy
from collections.abc import Collection, Sequence
from itertools import cycle

import pytest
import torch
import torchvision
from _pytest.mark import ParameterSet
from torch import nn

from safs.activations.rewired import RewiredModel
from safs.activations.surgery import find_sites, rewire
from safs.models import build, input_for
from safs.models.torchvision import torchvision_names

FAMILIES = (
    "resnet18",
    "densenet121",
    "googlenet",
    "squeezenet1_1",
    "mobilenet_v3_small",
    "shufflenet_v2_x1_0",
    "efficientnet_b0",
    "regnet_y_400mf",
    "swin_t",
)
"""Networks that are trained for real, one of each family."""
RELATIVES = (
    "alexnet",
    "vgg16",
    "resnet50",
    "mobilenet_v2",
    "convnext_tiny",
    "vit_b_16",
)
"""Networks that are rewired on the meta device, and trained in the exhaustive tests."""
OTHERS = ("resnext50_32x4d", "wide_resnet50_2", "inception_v3", "mnasnet1_0", "maxvit_t")
"""Networks that are trained in the exhaustive tests."""
OPERATORS = ("tanh", "acon", "identity", "symlog")
"""Operators with different needs: tanh's gradient reads its output, and identity's output is its input."""
OPTIONS = {
    "vgg16": {"init_weights": False},
    "googlenet": {"aux_logits": False, "init_weights": False},
    "inception_v3": {"aux_logits": False, "init_weights": False},
    "vit_b_16": {"image_size": 32},
}
SITES = {
    "resnet18": 17,
    "vgg16": 15,
    "efficientnet_b0": 65,
    "vit_b_16": 12,
    "swin_t": 12,
    "convnext_tiny": 18,
    "densenet121": 121,
    "googlenet": 57,
}


def make(name: str, **options) -> nn.Module:
    torch.manual_seed(0)
    return torchvision.models.get_model(name, weights=None, num_classes=10, **(OPTIONS.get(name, {}) | options))


def images_for(name: str) -> torch.Tensor:
    image_size = input_for(f"torchvision/{name}", 3, 8).image_size
    return torch.randn(2, 3, image_size, image_size, generator=torch.Generator().manual_seed(1))


def exhaustive_unless(names: Sequence[str], usual: Collection[str]) -> list[ParameterSet]:
    """Parameters of a test, marked exhaustive unless they are among the usual ones."""
    return [pytest.param(name, marks=() if name in usual else pytest.mark.exhaustive) for name in names]


@pytest.mark.parametrize(("name", "count"), SITES.items())
def test_every_call_of_an_activation_is_a_site(name, count):
    with torch.device("meta"):
        model = make(name)

    sites = find_sites(model)

    assert len(sites) == count
    assert len({site.path for site in sites}) == count


@pytest.mark.parametrize("name", exhaustive_unless(FAMILIES + RELATIVES + OTHERS, FAMILIES))
def test_original_operators_change_nothing_and_others_train_a_step(name):
    model, images = make(name), images_for(name)
    unchanged = rewire(copy.deepcopy(model))

    for training in (False, True):  # Train mode comes last, since it changes the batch norms' statistics.
        assert_same(model.train(training), unchanged.train(training), images)
    assert_same_state(model, unchanged)

    paths = tuple(unchanged.activations)
    del unchanged
    swapped = rewire(model, dict(zip(paths, cycle(OPERATORS), strict=False)), learnable=True)
    loss = nn.functional.cross_entropy(swapped(images), torch.tensor([3, 7]))
    loss.backward()
    gradients = [parameter.grad for parameter in swapped.activation_parameters()]
    torch.optim.SGD(swapped.parameters(), lr=1e-3).step()

    assert loss.isfinite()
    assert len(gradients) >= 2 * len(paths)
    assert all(gradient is not None and gradient.isfinite() for gradient in gradients)
    assert all(parameter.isfinite().all() for parameter in swapped.parameters())


@pytest.mark.parametrize("name", exhaustive_unless(torchvision_names(), RELATIVES))
def test_every_network_is_rewired_and_differentiated_on_the_meta_device(name):
    shape = input_for(f"torchvision/{name}", 3, 8)
    with torch.device("meta"):
        model = build(f"torchvision/{name}", channels=3, classes=10, image_size=shape.image_size)
        images = torch.empty(2, 3, shape.image_size, shape.image_size)
    sites = find_sites(model)

    assignment = {site.path: operator for site, operator in zip(sites, cycle(OPERATORS), strict=False)}
    rewired = rewire(model, assignment, learnable=True)

    assert sites
    assert list(rewired.model_state()) == list(model.state_dict())
    with torch.no_grad():
        assert rewired.eval()(images).shape == (2, 10)
    logits = rewired.train()(images)
    logits.sum().backward()
    assert logits.shape == (2, 10)
    assert all(parameter.grad is not None for parameter in rewired.parameters())


@pytest.mark.parametrize(
    ("name", "image_size"),
    [("googlenet", 64), pytest.param("inception_v3", 299, marks=pytest.mark.exhaustive)],
)
def test_auxiliary_heads_keep_their_own_activations_in_train_mode(name, image_size):
    model = make(name, aux_logits=True)
    rewired = rewire(copy.deepcopy(model))
    images = torch.randn(2, 3, image_size, image_size)

    for training in (False, True):
        assert_same(model.train(training), rewired.train(training), images)
    assert_same_state(model, rewired)
    assert not any(path.lower().startswith("aux") for path in rewired.activations)


def assert_same_state(model: nn.Module, rewired: RewiredModel) -> None:
    found, expected = rewired.model_state(), model.state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def assert_same(model: nn.Module, rewired: nn.Module, images: torch.Tensor) -> None:
    with torch.no_grad():
        torch.manual_seed(5)
        expected = model(images)
        torch.manual_seed(5)
        found = rewired(images)
    assert type(found) is type(expected)
    for one, other in zip(as_tuple(found), as_tuple(expected), strict=True):
        assert torch.equal(one, other)


def as_tuple(output: torch.Tensor | tuple[torch.Tensor | None, ...]) -> tuple[torch.Tensor, ...]:
    return (output,) if isinstance(output, torch.Tensor) else tuple(part for part in output if part is not None)
