"""Which sites share an operator."""

import pytest
import torch
from torch import Tensor, nn

from safs import models
from safs.activations.groups import Groups, Scope, own_operators, site_groups
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


def test_in_scope_site_each_stands_alone_under_its_path() -> None:
    groups, sites = grouped("resnet18", "site")

    assert groups == {site.path: (site.path,) for site in sites}


def test_in_scope_network_all_share() -> None:
    groups, sites = grouped("resnet18", "network")

    assert groups == {"network": tuple(site.path for site in sites)}


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        # Two convolutions at 28 and 10 pixels a side, then the linear layers.
        ("lenet5", {"relu1": 1, "relu2": 1, "relu3-relu4": 2}),
        ("mlp", {"hidden.0.relu": 1, "hidden.1.relu": 1, "hidden.2.relu": 1}),
        # Between two poolings: 2, 2, 3, 3, 3 convolutions.
        (
            "vgg16",
            {"features.2-5": 2, "features.9-12": 2, "features.16-22": 3, "features.26-32": 3, "features.36-42": 3},
        ),
        # Two residual blocks of two activations a stage.
        ("resnet18", {"relu": 1, "layer1": 4, "layer2": 4, "layer3": 4, "layer4": 4}),
        # Two activations a dense layer: 6, 12, 24, 16 of them.
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
def test_in_scope_block_stages_and_layers_share(architecture: str, expected: dict[str, int]) -> None:
    groups, sites = grouped(architecture, "block")

    assert sizes(groups) == expected
    assert [path for paths in groups.values() for path in paths] == [site.path for site in sites]


def test_gates_do_not_share_with_features() -> None:
    groups, sites = grouped("efficientnet_b0", "block")

    # Seven stages of 1, 2, 2, 3, 3, 4, 1 blocks with a gate each.
    gates = {name: len(paths) for name, paths in groups.items() if name.endswith(":sigmoid")}
    assert gates == {f"features.{stage}:sigmoid": n for stage, n in enumerate((1, 2, 2, 3, 3, 4, 1), start=1)}
    assert len(groups) == 16
    own = own_operators(groups, sites)
    assert {own[name] for name in gates} == {"sigmoid"}
    assert {operator for name, operator in own.items() if name not in gates} == {"silu"}
    assert all(own[name] == site.own for site in sites for name, paths in groups.items() if site.path in paths)


class Branches(nn.Module):
    """Calls a block, another, and the first again; and one module at two resolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.ReLU())
        self.b = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.ReLU())
        self.act = nn.Tanh()
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(self.b(self.a(x)))
        return torch.flatten(self.act(self.pool(self.act(self.act(x)))), 1)


def test_calls_of_one_module_are_one_block_and_resolutions_part_neighbours() -> None:
    model = Branches()
    sites = find_sites(model)

    groups = site_groups(sites, "block", model, torch.zeros(1, 1, 8, 8))

    assert groups == {"a": ("a.1", "a.1#2"), "b": ("b.1",), "act-act#2": ("act", "act#2"), "act#3": ("act#3",)}
    assert site_groups(sites, "network", model, torch.zeros(1, 1, 8, 8)) == {
        "network:relu": ("a.1", "b.1", "a.1#2"),
        "network:tanh": ("act", "act#2", "act#3"),
    }
    assert model.training  # The model is the caller's.
