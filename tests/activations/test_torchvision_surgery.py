"""Surgery on whole torchvision networks, at the smallest image that each takes."""

import copy
from itertools import cycle

import pytest
import torch
import torchvision
from torch import nn

from safs.activations.rewired import RewiredModel
from safs.activations.surgery import find_sites, rewire

IMAGE_SIZES = {
    "alexnet": 63,
    "vgg16": 32,
    "resnet18": 32,
    "resnet50": 32,
    "resnext50_32x4d": 32,
    "wide_resnet50_2": 32,
    "densenet121": 32,
    "googlenet": 32,
    "inception_v3": 75,
    "squeezenet1_1": 32,
    "mobilenet_v2": 32,
    "mobilenet_v3_small": 32,
    "shufflenet_v2_x1_0": 32,
    "mnasnet1_0": 32,
    "efficientnet_b0": 32,
    "regnet_y_400mf": 32,
    "convnext_tiny": 32,
    "vit_b_16": 32,
    "swin_t": 32,
    "maxvit_t": 224,
}
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
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 3, IMAGE_SIZES[name], IMAGE_SIZES[name], generator=generator)


@pytest.mark.parametrize(("name", "count"), SITES.items())
def test_every_call_of_an_activation_is_a_site(name, count):
    with torch.device("meta"):
        model = make(name)

    sites = find_sites(model)

    assert len(sites) == count
    assert len({site.path for site in sites}) == count


@pytest.mark.parametrize("name", IMAGE_SIZES)
def test_own_operators_change_nothing_and_others_train_a_step(name):
    model, images = make(name), images_for(name)
    own = rewire(copy.deepcopy(model))

    for training in (False, True):  # train mode last: it moves the batch norms' statistics
        assert_same(model.train(training), own.train(training), images)
    assert_same_state(model, own)

    paths = tuple(own.activations)
    del own
    operators = cycle(
        ("tanh", "acon", "identity", "symlog")
    )  # tanh's gradient needs its output, identity's is its input
    swapped = rewire(model, dict(zip(paths, operators, strict=False)), learnable=True)
    loss = nn.functional.cross_entropy(swapped(images), torch.tensor([3, 7]))
    loss.backward()
    gradients = [parameter.grad for parameter in swapped.activation_parameters()]
    torch.optim.SGD(swapped.parameters(), lr=1e-3).step()

    assert loss.isfinite()
    assert len(gradients) >= 2 * len(paths)
    assert all(gradient is not None and gradient.isfinite() for gradient in gradients)
    assert all(parameter.isfinite().all() for parameter in swapped.parameters())


@pytest.mark.parametrize(("name", "image_size"), [("googlenet", 64), ("inception_v3", 299)])
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
