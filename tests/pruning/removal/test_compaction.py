"""The smaller network equals the masked one: same outputs, exact counts, and its form rebuilds it."""

import copy
import dataclasses
import json
from collections.abc import Callable

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn
from torchvision.models import DenseNet, VisionTransformer
from torchvision.models.resnet import Bottleneck, ResNet

from safs import models
from safs.errors import CompactionError
from safs.models.form import Form, apply_form
from safs.pruning.masks import apply_masks, prunable_parameters
from safs.pruning.removal.choose_units import Removal, choose_units
from safs.pruning.removal.compaction import compact, masks_of_compact, shrink, zero_units
from safs.pruning.removal.coupling import find_groups
from safs.pruning.removal.units import Slot, UnitGroup

Build = Callable[[], nn.Module]


def named(architecture: str, channels: int, image_size: int) -> Build:
    return lambda: models.build(architecture, channels=channels, classes=10, image_size=image_size, seed=0)


NETWORKS: dict[str, tuple[Build, tuple[int, int, int], float]] = {
    "lenet5": (named("lenet5", 1, 28), (1, 28, 28), 0.9),
    "mlp": (named("mlp", 1, 8), (1, 8, 8), 0.9),
    "resnet18": (named("resnet18", 3, 8), (3, 8, 8), 0.95),
    "vgg16": (named("vgg16", 3, 32), (3, 32, 32), 0.9),
    "mobilenet_v3_small": (named("torchvision/mobilenet_v3_small", 3, 32), (3, 32, 32), 0.9),
    "densenet": (
        lambda: DenseNet(growth_rate=6, block_config=(2, 3, 2), num_init_features=8, num_classes=5),
        (3, 32, 32),
        0.8,
    ),
    "resnext": (
        lambda: ResNet(Bottleneck, [1, 1, 1, 1], num_classes=5, groups=4, width_per_group=4),
        (3, 32, 32),
        0.7,
    ),
    "vit": (
        lambda: VisionTransformer(
            image_size=32, patch_size=16, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=32, num_classes=5
        ),
        (3, 32, 32),
        0.1,
    ),
}


def trained_looking(build: Build) -> nn.Module:
    """Returns a network with non-initial biases and norms, so that a forgotten one changes the output."""
    torch.manual_seed(0)
    model = build()
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.dim() == 1 and tensor.is_floating_point():
                tensor.add_(0.3 * torch.rand_like(tensor))
    return model


def magnitudes(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().abs() for name, parameter in prunable_parameters(model).items()}


def live_weights(model: nn.Module) -> int:
    return sum(int(weight.count_nonzero()) for weight in prunable_parameters(model).values())


def assert_same_outputs(one: nn.Module, other: nn.Module, shape: tuple[int, ...]) -> None:
    images = torch.randn((5, *shape), generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        expected, found = one.eval()(images), other.eval()(images)
    assert expected.abs().max() > 1e-3
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.exhaustive if name in ("densenet", "vgg16") else ()) for name in NETWORKS],
)
def test_the_smaller_network_computes_what_the_masked_one_does(name):
    build, shape, sparsity = NETWORKS[name]
    model, example = trained_looking(build), torch.zeros(1, *shape)
    groups = find_groups(model, example)
    total = sum(weight.numel() for weight in prunable_parameters(model).values())
    removal = choose_units(groups, magnitudes(model), sparsity)
    assert sum(map(len, removal.units.values())) > 0
    masked = copy.deepcopy(model)
    apply_masks(prunable_parameters(masked), removal.masks)
    zero_units(masked, groups, removal.units)
    apply_masks(prunable_parameters(model), removal.masks)

    shapes = compact(model, groups, removal.units, example)

    assert_same_outputs(masked, model, shape)
    assert live_weights(model) == live_weights(masked) == total - round(sparsity * total)
    masks = masks_of_compact(removal.masks, groups, removal.units)
    assert all(torch.equal(weight != 0, masks[name]) for name, weight in prunable_parameters(model).items())

    form = TypeAdapter(Form).validate_python(json.loads(json.dumps(dataclasses.asdict(Form(shapes)))))
    again = apply_form(form, build())
    again.load_state_dict(model.state_dict())
    assert repr(again) == repr(model)
    assert_same_outputs(masked, again, shape)


def test_a_residual_stream_gets_narrower_everywhere():
    build, shape, _ = NETWORKS["resnet18"]
    model, example = trained_looking(build), torch.zeros(1, *shape)
    groups = find_groups(model, example)

    shapes = compact(model, groups, {"conv1": tuple(range(10))}, example)

    assert shapes["conv1.weight"] == (54, 3, 3, 3)
    assert shapes["layer1.1.conv2.weight"] == (54, 64, 3, 3)
    assert shapes["layer2.0.shortcut.0.weight"] == (128, 54, 1, 1)
    assert (model.layer1[0].bn2.num_features, model.layer2[0].conv1.in_channels) == (54, 54)
    assert "layer1.0.bn1.weight" not in shapes


def test_after_flattening_each_pixel_loses_its_column():
    build, shape, _ = NETWORKS["lenet5"]
    model, example = trained_looking(build), torch.zeros(1, *shape)
    columns = model.fc1.weight.detach()[:, 25:50].clone()

    compact(model, find_groups(model, example), {"conv2": (0, *range(2, 16))}, example)

    assert model.fc1.in_features == 25
    assert torch.equal(model.fc1.weight, columns)


@pytest.mark.parametrize("norm", [True, False])
def test_a_zeroed_unit_outputs_its_activation_of_zero(norm):
    layers = (nn.BatchNorm2d(3), nn.Sigmoid()) if norm else (nn.BatchNorm2d(3, affine=False), nn.Sigmoid())
    model = nn.Sequential(nn.Conv2d(1, 3, 3), *layers, nn.Flatten(), nn.Linear(12, 2)).eval()
    with torch.no_grad():
        model[1].running_mean.fill_(0.7)
    example = torch.zeros(1, 1, 4, 4)

    zero_units(model, find_groups(model, example), {"0": (1,)})

    outputs = model[:3](torch.randn(2, 1, 4, 4))
    assert (outputs[:, 1] == 0.5).all()
    assert not (outputs[:, 0] == 0.5).any()
    assert not model[4].weight[:, 4:8].any()
    assert (model[1].running_var > 0).all()


def test_shrinking_keeps_the_contribution_of_constant_units():
    model = trained_looking(named("mlp", 1, 8))
    with torch.no_grad():
        model.hidden[0].linear.weight[:100] = 0.0
        model.hidden[1].linear.weight[5:50] = 0.0
    groups, example = find_groups(model, torch.zeros(1, 1, 8, 8)), torch.zeros(1, 1, 8, 8)
    before = copy.deepcopy(model)
    masks = {name: weight != 0 for name, weight in prunable_parameters(model).items()}
    removal = Removal({"hidden.0.linear": tuple(range(100)), "hidden.1.linear": tuple(range(5, 50))}, masks)

    form, compacted = shrink(model, groups, removal, example)

    assert form.shapes["hidden.1.linear.weight"] == (83, 156)
    assert_same_outputs(before, model, (1, 8, 8))
    assert all(mask.all() for mask in compacted.values())


def test_a_shrunk_network_trains_on_under_its_masks():
    build, shape, _ = NETWORKS["lenet5"]
    model, example = trained_looking(build), torch.zeros(1, *shape)
    groups = find_groups(model, example)
    _, masks = shrink(model, groups, choose_units(groups, magnitudes(model), 0.9), example)
    before, live = copy.deepcopy(model.state_dict()), live_weights(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    loss = nn.functional.cross_entropy(model.train()(torch.randn(8, *shape)), torch.arange(8))
    loss.backward()
    optimizer.step()
    apply_masks(prunable_parameters(model), masks)

    assert live_weights(model) == live == 6_147
    assert all(not torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_model_keeps_its_mode_and_random_numbers_go_on():
    build, shape, _ = NETWORKS["lenet5"]
    model, example = trained_looking(build).train(), torch.zeros(1, *shape)
    groups, generator = find_groups(model, example), torch.random.get_rng_state()

    assert compact(model, groups, {}, example) == {}

    assert model.training
    assert torch.equal(torch.random.get_rng_state(), generator)


def test_masks_lose_the_rows_and_columns_of_removed_units():
    each = ((0,), (1,), (2,))
    groups = (
        UnitGroup("a", 3, (Slot("a.weight", 0, each), Slot("a.bias", 0, each)), (Slot("b.weight", 1, each),)),
        UnitGroup("b", 3, (Slot("b.weight", 0, each),), (Slot("c.weight", 1, each),)),
    )
    masks = {
        "a.weight": torch.tensor([[0, 1], [1, 1], [1, 0]]).bool(),
        "b.weight": torch.tensor([[1, 0, 1], [0, 1, 1], [1, 1, 0]]).bool(),
        "c.weight": torch.tensor([[1, 0, 1]]).bool(),
    }

    compacted = masks_of_compact(masks, groups, {"a": (0,), "b": (1,)})

    assert {name: mask.int().tolist() for name, mask in compacted.items()} == {
        "a.weight": [[1, 1], [1, 0]],
        "b.weight": [[0, 1], [1, 0]],
        "c.weight": [[1, 1]],
    }


def test_groups_that_miss_a_reader_are_refused():
    build, shape, _ = NETWORKS["lenet5"]
    model, example = trained_looking(build), torch.zeros(1, *shape)
    (group, *_) = find_groups(model, example)

    with pytest.raises(CompactionError, match=r"LeNet5 .*does not run.*granularity: weight") as caught:
        compact(model, [dataclasses.replace(group, consumers=())], {"conv1": (0,)}, example)

    assert caught.value.field == "prune.granularity"


def test_groups_that_mistake_a_column_are_refused():
    build, shape, _ = NETWORKS["lenet5"]
    model, example = trained_looking(build), torch.zeros(1, *shape)
    (group, *_) = find_groups(model, example)
    columns = dataclasses.replace(group.consumers[0], positions=((1,), (0,), (2,), (3,), (4,), (5,)))

    with pytest.raises(CompactionError, match=r"LeNet5 .*outputs.*change by"):
        compact(model, [dataclasses.replace(group, consumers=(columns,))], {"conv1": (0,)}, example)
