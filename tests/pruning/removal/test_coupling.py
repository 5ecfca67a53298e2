"""The units that are found, compared with the architectures by hand."""

import copy
import threading

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import DenseNet, SwinTransformer, VisionTransformer
from torchvision.models.resnet import Bottleneck, ResNet

from safs import models
from safs.errors import CompactionError
from safs.pruning.removal.bounded_graph import LimitReached, Steps
from safs.pruning.removal.coupling import STEP_LIMIT, find_groups
from safs.pruning.removal.dependency import dependency_groups
from safs.pruning.removal.hidden_widths import hidden_widths
from safs.pruning.removal.units import UnitGroup


def on_meta(architecture: str, channels: int = 3, image_size: int = 32) -> nn.Module:
    with torch.device("meta"):
        return models.build(architecture, channels=channels, classes=10, image_size=image_size)


def groups_of(model: nn.Module, *shape: int) -> dict[str, UnitGroup]:
    return {group.name: group for group in find_groups(model, torch.zeros(1, *shape))}


def names(slots) -> list[str]:
    return [slot.name for slot in slots]


def test_lenet_has_four_groups_without_its_classes():
    groups = groups_of(on_meta("lenet5", 1, 28), 1, 28, 28)

    assert {name: group.units for name, group in groups.items()} == {"conv1": 6, "conv2": 16, "fc1": 120, "fc2": 84}
    assert names(groups["conv1"].producers) == ["conv1.weight", "conv1.bias"]
    assert names(groups["conv1"].consumers) == ["conv2.weight"]
    assert [slot.dim for slot in (*groups["conv1"].producers, *groups["conv1"].consumers)] == [0, 0, 1]


def test_after_flattening_a_channel_owns_the_columns_of_its_pixels():
    (columns,) = groups_of(on_meta("lenet5", 1, 28), 1, 28, 28)["conv2"].consumers

    assert (columns.name, columns.dim) == ("fc1.weight", 1)
    assert columns.positions[0] == tuple(range(25))
    assert columns.positions[3] == tuple(range(75, 100))


def test_norms_belong_to_the_group_of_their_layer():
    group = groups_of(on_meta("mlp", 1, 8), 1, 8, 8)["hidden.0.linear"]

    assert names(group.producers) == [
        "hidden.0.linear.weight",
        "hidden.0.norm.weight",
        "hidden.0.norm.bias",
        "hidden.0.norm.running_mean",
        "hidden.0.norm.running_var",
    ]
    assert names(group.consumers) == ["hidden.1.linear.weight"]


def test_residual_additions_tie_layers_together():
    groups = groups_of(on_meta("resnet18"), 3, 32, 32)

    stem = [name for name in names(groups["conv1"].producers) if "bn" not in name]
    assert stem == ["conv1.weight", "layer1.0.conv2.weight", "layer1.1.conv2.weight"]
    assert names(groups["conv1"].consumers) == [
        "layer1.0.conv1.weight",
        "layer1.1.conv1.weight",
        "layer2.0.conv1.weight",
        "layer2.0.shortcut.0.weight",
    ]
    assert len(groups) == 4 + 8  # four widths of the residual stream, one hidden width a block


def test_a_concatenation_gives_each_producer_its_part():
    model = DenseNet(growth_rate=4, block_config=(2, 2), num_init_features=8, bn_size=2, num_classes=3)

    groups = groups_of(model, 3, 32, 32)

    stem, layer = groups["features.conv0"], groups["features.denseblock1.denselayer1.conv2"]
    at = {slot.name: slot.positions for slot in (*stem.producers, *stem.consumers)}
    assert at["features.denseblock1.denselayer2.norm1.weight"] == tuple((unit,) for unit in range(8))
    at = {slot.name: slot.positions for slot in (*layer.producers, *layer.consumers)}
    assert at["features.denseblock1.denselayer2.norm1.running_var"] == ((8,), (9,), (10,), (11,))
    assert at["features.denseblock1.denselayer2.conv1.weight"] == ((8,), (9,), (10,), (11,))
    assert at["features.transition1.conv.weight"] == ((8,), (9,), (10,), (11,))


def test_depthwise_convolutions_belong_to_the_group_that_they_read():
    model = nn.Sequential(nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 3, groups=6), nn.Conv2d(6, 2, 1), nn.Flatten())

    (group,) = groups_of(model, 3, 8, 8).values()

    assert names(group.producers) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert names(group.consumers) == ["2.weight"]


def test_a_unit_of_a_grouped_convolution_has_one_channel_of_each_group():
    model = ResNet(Bottleneck, [1, 1, 1, 1], num_classes=3, groups=4, width_per_group=16)  # 16 channels, in 4 groups

    group = groups_of(model, 3, 32, 32)["layer1.0.conv1"]

    rows = next(slot for slot in group.producers if slot.name == "layer1.0.conv1.weight")
    (columns,) = group.consumers
    assert group.units == 16
    assert rows.positions[1] == (1, 17, 33, 49)
    assert (columns.name, columns.positions[1]) == ("layer1.0.conv2.weight", (1,))


def test_convolutions_of_different_groups_join_the_units_of_both():
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1, groups=2), nn.Conv2d(8, 8, 1, groups=4), nn.Flatten())

    groups = groups_of(model, 3, 4, 4)

    assert {name: group.units for name, group in groups.items()} == {"0": 4, "1": 2}
    assert groups["1"].producers[0].positions == ((0, 2, 4, 6), (1, 3, 5, 7))


class Split(nn.Module):
    """Its stem's halves are read by different layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.left, self.right = nn.Conv2d(1, 8, 1), nn.Conv2d(4, 6, 1), nn.Conv2d(4, 6, 1)
        self.out = nn.Linear(6 * 4, 2)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.stem(x).chunk(2, 1)
        return self.out(torch.relu(self.left(left) + self.right(right)).flatten(1))


def test_units_that_different_layers_read_are_left_out():
    groups = groups_of(Split(), 1, 2, 2)

    assert list(groups) == ["left"]
    assert names(groups["left"].producers) == ["left.weight", "left.bias", "right.weight", "right.bias"]


class Counting(nn.Module):
    """A network that asserts the width of its first layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third, self.out = (nn.Linear(8, width) for width in (8, 8, 8, 2))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        assert x.shape[1] == 8
        return self.out(torch.relu(self.third(torch.relu(self.second(x)))))


def test_groups_without_which_the_network_does_not_run_are_left_out():
    assert list(groups_of(Counting(), 8)) == ["second", "third"]


def test_a_transformer_offers_its_perceptrons_hidden_widths():
    model = VisionTransformer(
        image_size=32, patch_size=16, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=12, num_classes=3
    )

    groups = groups_of(model, 3, 32, 32)

    assert list(groups) == [f"encoder.layers.encoder_layer_{layer}.mlp.0" for layer in (0, 1)]
    group = groups["encoder.layers.encoder_layer_0.mlp.0"]
    assert group.units == 12
    assert names(group.producers) == [f"{group.name}.weight", f"{group.name}.bias"]
    assert names(group.consumers) == ["encoder.layers.encoder_layer_0.mlp.3.weight"]


@pytest.mark.parametrize(
    ("architecture", "units"), [("torchvision/vit_b_16", 12 * 3072), ("torchvision/swin_t", 12 * 1472)]
)
def test_published_transformers_do_too(architecture, units):
    groups = find_groups(on_meta(architecture), torch.zeros(1, 3, 32, 32))

    # swin_t: 4 x 96 wide in 2 blocks, then twice that in 2, four times in 6, eight times in 2: 4 x 96 x 46.
    assert sum(group.units for group in groups) == units
    assert len(groups) == 12


class Branching(nn.Module):
    """Hidden layers: one with two readers, one that is called twice, one before a norm, and a plain one."""

    def __init__(self) -> None:
        super().__init__()
        self.read_twice, self.called_twice, self.normed, self.plain, self.norm, self.out = (
            *(nn.Linear(4, 4) for _ in range(4)),
            nn.LayerNorm(4),
            nn.Linear(4, 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.read_twice(x)
        x = self.called_twice(torch.relu(hidden)) + hidden
        x = self.norm(self.normed(self.called_twice(x)))
        return self.out(nn.functional.gelu(self.plain(x)))


def test_a_hidden_width_has_a_single_reader_through_elementwise_calls():
    assert [group.name for group in hidden_widths(Branching())] == ["plain"]


def test_the_model_is_left_as_it_is():
    model = models.build("lenet5", channels=1, classes=10, image_size=28, seed=0).train()
    model.fc1.eval()
    model.conv1.weight.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())

    find_groups(model, torch.zeros(1, 1, 28, 28))

    assert (model.training, model.fc1.training, model.conv1.weight.requires_grad) == (True, False, False)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("architecture", ["lenet5", "torchvision/mobilenet_v3_small"])
def test_groups_are_the_same_on_the_meta_device(architecture):
    example = torch.zeros(1, 3, 32, 32)
    model = models.build(architecture, channels=3, classes=10, image_size=32)

    assert find_groups(model, example) == find_groups(on_meta(architecture), example.to("meta"))


class Remembering(nn.Module):
    """Keeps a result of its forward in an attribute, as LeViT does with its attention biases."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(16, 8), nn.Linear(8, 3)
        self.scale = nn.Parameter(torch.ones(1))
        self.cache = {}

    def forward(self, images):
        if "scale" not in self.cache:
            self.cache["scale"] = self.scale.exp()
        return self.second(torch.relu(self.first(images.flatten(1))) * self.cache["scale"])


def test_results_that_a_network_keeps_in_attributes_do_not_matter():
    model, example = Remembering(), torch.zeros(1, 1, 4, 4)
    model(example)

    (group,) = find_groups(model, example)

    assert group.units == 8
    assert model.cache["scale"].grad_fn is not None


def test_a_network_that_torch_pruning_cannot_do_is_refused_with_a_way_out():
    with pytest.raises(CompactionError, match=r"ShuffleNetV2 .*ZeroDivisionError.*prune.granularity: weight") as caught:
        find_groups(on_meta("torchvision/shufflenet_v2_x0_5"), torch.zeros(1, 3, 32, 32))

    assert (caught.value.code, caught.value.field) == ("incompressible_model", "prune.granularity")


def test_a_network_without_hidden_units_is_refused():
    with pytest.raises(CompactionError, match=r"Sequential.*granularity: weight"):
        find_groups(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), torch.zeros(1, 1, 4, 4))


class SwappedHalves(nn.Module):
    """A residual block that swaps the halves of its channels; torch-pruning's search goes round in it for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.out = nn.Linear(16, 16), nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x.flatten(1))
        first, second = x.chunk(2, 1)
        return self.out(torch.cat([second, first], 1) + x)


def test_an_endless_search_is_ended_and_leaves_nothing_behind():
    model = SwappedHalves()
    before = copy.deepcopy(model.state_dict())
    threads = threading.active_count()

    with pytest.raises(CompactionError, match=r"SwappedHalves .*more than 50,000 steps.*granularity: weight") as caught:
        find_groups(model, torch.zeros(1, 1, 4, 4), step_limit=50_000)

    assert (caught.value.code, caught.value.field) == ("incompressible_model", "prune.granularity")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert threading.active_count() == threads


def test_a_limit_is_reached_after_the_same_steps_every_time():
    def taken() -> int:
        dependency_groups(on_meta("resnet18"), torch.zeros(1, 3, 32, 32), steps := Steps(1_000_000))
        return steps.taken

    needed = taken()

    assert needed == taken()
    dependency_groups(on_meta("resnet18"), torch.zeros(1, 3, 32, 32), Steps(needed))
    with pytest.raises(LimitReached):
        dependency_groups(on_meta("resnet18"), torch.zeros(1, 3, 32, 32), Steps(needed - 1))


@pytest.mark.filterwarnings("ignore:Maximum recursive depth reached")
def test_a_search_that_multiplies_its_channels_is_ended():
    depths = [2, 2, 2]
    model = SwinTransformer([4, 4], 8, depths, num_heads=[1, 1, 1], window_size=[2, 2], num_classes=3)

    with pytest.raises(LimitReached):
        dependency_groups(model, torch.zeros(1, 3, 32, 32), Steps(1_000_000))


def test_a_layer_of_too_many_positions_is_refused_before_they_are_listed():
    with torch.device("meta"):
        model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(2 * 1024 * 1024, 2))

    with pytest.raises(CompactionError, match=r"a layer of 2,097,152 positions; the limit is 1,048,576"):
        find_groups(model, torch.zeros(1, 1, 1024, 1024))


@pytest.mark.exhaustive  # The limit itself is tested by resnet18.
def test_densenet_121_takes_far_fewer_steps_than_the_limit():
    """A release of torch-pruning that evades the count, or needs many more steps, fails here."""
    dependency_groups(on_meta("torchvision/densenet121"), torch.zeros(1, 3, 32, 32), steps := Steps(STEP_LIMIT))

    assert 1_000_000 < steps.taken < STEP_LIMIT / 5
