import pytest
import torch
from torch import nn

from safs.models import build
from safs.models.mlp import MLP, HiddenLayer
from safs.pruning.axes.distributions import live_counts, live_total
from safs.pruning.masks import prunable_parameters
from safs.pruning.methods.weight_sharing import shareable


@pytest.fixture(scope="module")
def resnet34():
    with torch.device("meta"):
        return build("resnet34", channels=3, classes=10, image_size=32)


def sizes(model):
    return {name: parameter.numel() for name, parameter in prunable_parameters(model).items()}


def test_blocks_from_the_third_on_use_the_weights_of_the_second(resnet34):
    shared = shareable(resnet34)

    assert len(shared) == 2 * (1 + 2 + 4 + 1)
    assert shared["layer1.2.conv1.weight"] == "layer1.1.conv1.weight"
    assert shared["layer3.5.conv2.weight"] == "layer3.1.conv2.weight"
    assert not {name for name in shared if ".0." in name or ".1." in name}
    assert not any("shortcut" in name or name.startswith(("conv1", "fc")) for name in shared)


@pytest.mark.parametrize(("sparsity", "live"), [(0.99, 212_651), (0.999, 21_265), (0.9995, 10_633), (0.9999, 2_127)])
def test_resnet34_keeps_as_many_weights_with_sharing_as_without(resnet34, sparsity, live):
    weights = sizes(resnet34)
    total = sum(weights.values())
    unique = {name: shape.shape for name, shape in prunable_parameters(resnet34).items()}
    for name in shareable(resnet34):
        del unique[name]
    unique_total = sum(shape.numel() for shape in unique.values())

    assert (total, unique_total) == (21_265_088, 11_164_352)
    assert live_total(total, sparsity) == live
    counts = live_counts(unique, 1 - live / unique_total, "erk")
    assert sum(counts.values()) == live
    assert min(counts.values()) >= 1


def test_with_a_larger_ratio_more_blocks_keep_their_weights(resnet34):
    shared = shareable(resnet34, ratio=3)

    assert set(shared.values()) == {f"layer{stage}.2.conv{number}.weight" for stage in (2, 3) for number in (1, 2)}
    assert len(shared) == 2 * (1 + 3)


def test_only_weights_of_the_same_shape_are_shared():
    assert shareable(MLP(64, 10, (256, 128, 64))) == {}
    assert shareable(MLP(64, 10, (32, 32, 32))) == {"hidden.2.linear.weight": "hidden.1.linear.weight"}
    assert shareable(MLP(32, 10, (32, 32, 32)), ratio=1) == {
        "hidden.1.linear.weight": "hidden.0.linear.weight",
        "hidden.2.linear.weight": "hidden.0.linear.weight",
    }


def test_sequences_of_layers_and_of_sequences_are_not_stages():
    layers = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    nested = nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(4)))

    assert shareable(layers) == {}
    assert shareable(nested) == {}


def test_in_nested_stages_no_weight_is_tied_twice_or_to_a_tied_one():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(*(HiddenLayer(4, 4) for _ in range(3)))

    shared = shareable(nn.Sequential(*(Block() for _ in range(3))))

    assert shared["2.inner.2.linear.weight"] == "1.inner.2.linear.weight"
    assert shared["0.inner.2.linear.weight"] == "0.inner.1.linear.weight"
    assert not set(shared) & set(shared.values())
