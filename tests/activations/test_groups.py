"""Groups of sites that share an operator."""

import pytest
import torch
from torch import Tensor, nn

from safs import models
from safs.activations.groups import Groups, Scope, original_operators, site_groups
from safs.activations.surgery import Site, find_sites
from safs.networks import Blueprint


def grouped(architecture: str, scope: Scope) -> tuple[Groups, tuple[Site, ...]]:
    shape = models.input_for(architecture, 3, 32)
    with torch.device("meta"):
        model = Blueprint(architecture, shape.channels, shape.image_size, classes=10).build()
    sites = find_sites(model)
    example = torch.zeros(1, shape.channels, shape.image_size, shape.image_size, device="meta")
    return site_groups(sites, scope, model, example), sites


def sizes(groups: Groups) -> dict[str, int]:
    return {name: len(paths) for name, paths in groups.items()}


def test_scope_site_gives_one_group_for_each_site() -> None:
    groups, sites = grouped("resnet18", "site")

    assert groups == {site.path: (site.path,) for site in sites}


def test_scope_network_gives_one_group() -> None:
    groups, sites = grouped("resnet18", "network")

    assert groups == {"network": tuple(site.path for site in sites)}


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        # Convolutions of 28 and of 10 pixels a side, then the linear layers.
        ("lenet5", {"relu1": 1, "relu2": 1, "relu3-relu4": 2}),
        ("mlp", {"hidden.0.relu": 1, "hidden.1.relu": 1, "hidden.2.relu": 1}),
        # 2, 2, 3, 3 and 3 convolutions between two poolings.
        (
            "vgg16",
            {"features.2-5": 2, "features.9-12": 2, "features.16-22": 3, "features.26-32": 3, "features.36-42": 3},
        ),
        # Each stage has two residual blocks with two activations.
        ("resnet18", {"relu": 1, "layer1": 4, "layer2": 4, "layer3": 4, "layer4": 4}),
        # 6, 12, 24 and 16 dense layers with two activations each.
        (
            "torchvision/densenet121",
            {
                "features.relu0": 1,
                "features.denseblock1": 12,
                "features.transition1": 1,
                "features.denseblock2": 24,
                "features.transition2": 1,
                "features.denseblock3": 48,
                "features.transition3": 1,
                "features.denseblock4": 32,
                "relu": 1,
            },
        ),
        ("torchvision/alexnet", {"features.1": 1, "features.4": 1, "features.7-11": 3, "classifier.2-5": 2}),
        ("torchvision/vit_b_16", {f"encoder.layers.encoder_layer_{layer}": 1 for layer in range(12)}),
        ("torchvision/swin_t", {"features.1": 2, "features.3": 2, "features.5": 6, "features.7": 2}),
    ],
)
def test_scope_block_groups_the_sites_of_stages_and_layers(architecture: str, expected: dict[str, int]) -> None:
    groups, sites = grouped(architecture, "block")

    assert sizes(groups) == expected
    assert [path for paths in groups.values() for path in paths] == [site.path for site in sites]


def test_gates_and_features_are_in_different_groups() -> None:
    groups, sites = grouped("efficientnet_b0", "block")

    # Seven stages of 1, 2, 2, 3, 3, 4 and 1 blocks with one gate in each block.
    gates = {name: len(paths) for name, paths in groups.items() if name.endswith(":sigmoid")}
    assert gates == {f"features.{stage}:sigmoid": n for stage, n in enumerate((1, 2, 2, 3, 3, 4, 1), start=1)}
    assert len(groups) == 16
    original = original_operators(groups, sites)
    assert {original[name] for name in gates} == {"sigmoid"}
    assert {operator for name, operator in original.items() if name not in gates} == {"silu"}
    assert all(
        original[name] == site.original for site in sites for name, paths in groups.items() if site.path in paths
    )


class Branches(nn.Module):
    """Calls block a, block b and block a again, and calls one module at two resolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.ReLU())
        self.b = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.ReLU())
        self.act = nn.Tanh()
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(self.b(self.a(x)))
        return torch.flatten(self.act(self.pool(self.act(self.act(x)))), 1)


def test_calls_of_one_block_are_one_group_and_resolutions_separate_neighbours() -> None:
    model = Branches()
    sites = find_sites(model)

    groups = site_groups(sites, "block", model, torch.zeros(1, 1, 8, 8))

    assert groups == {"a": ("a.1", "a.1#2"), "b": ("b.1",), "act-act#2": ("act", "act#2"), "act#3": ("act#3",)}
    assert site_groups(sites, "network", model, torch.zeros(1, 1, 8, 8)) == {
        "network:relu": ("a.1", "b.1", "a.1#2"),
        "network:tanh": ("act", "act#2", "act#3"),
    }
    assert model.training  # The caller's model keeps its mode.
