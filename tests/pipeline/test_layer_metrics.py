"""A network measured as a whole; the numbers are worked by hand from LeNet-5's sizes."""

import json
from collections.abc import Mapping
from dataclasses import asdict

import pytest
import torch
from torch import Tensor

from safs.data import Splits, load
from safs.data.tensor_split import TensorSplit
from safs.inputs import InputSelection
from safs.json_form import to_json
from safs.models.form import Form
from safs.networks import Blueprint, Network
from safs.pipeline.layer_metrics import measure
from safs.spec.data import DataSpec

WEIGHTS = {"conv1": 150, "conv2": 2_400, "fc1": 48_000, "fc2": 10_080, "fc3": 840}
FLOPS = {"conv1": 235_200, "conv2": 480_000, "fc1": 96_000, "fc2": 20_160, "fc3": 1_680}
PARAMETERS = sum(WEIGHTS.values()) + 6 + 16 + 120 + 84 + 10


@pytest.fixture(scope="module")
def images() -> TensorSplit:
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(12, 1, 28, 28, generator=generator)
    return TensorSplit(numbers, torch.arange(12) % 10, torch.zeros(1), torch.ones(1), 10, 1, 28)


def lenet(form: Form | None = None) -> Blueprint:
    return Blueprint("lenet5", 1, 28, 10, form or Form())


def network(blueprint: Blueprint, changes: Mapping[str, Tensor] | None = None, **others) -> Network:
    state = {name: value.clone() for name, value in blueprint.build(seed=0).state_dict().items()}
    return Network(blueprint, state | dict(changes or {}), **others)


def test_a_dense_network_has_the_sizes_of_its_architecture(images: TensorSplit):
    found = measure(network(lenet()), images, 5, "cpu")

    assert {layer.name: layer.weights for layer in found.layers} == {f"{name}.weight": n for name, n in WEIGHTS.items()}
    for layer in found.layers:
        name = layer.name.removesuffix(".weight")
        assert layer.stored == layer.live == layer.weights
        assert (layer.sparsity, layer.bytes) == (0.0, 4 * WEIGHTS[name])
        assert layer.flops_dense == layer.flops_sparse == FLOPS[name]
    assert found.totals.parameters == PARAMETERS
    assert found.totals.bytes == found.totals.bytes_live == 4 * PARAMETERS
    assert found.totals.flops_dense == found.totals.flops_sparse == sum(FLOPS.values())
    squares = sum(layer.gradient_norm**2 for layer in found.layers if layer.gradient_norm)
    assert found.totals.gradient_norm == pytest.approx(squares**0.5)


def test_zeros_are_counted_out_of_flops_and_live_bytes_and_kill_neurons(images: TensorSplit):
    blueprint = lenet()
    start = blueprint.build(seed=0).state_dict()
    weight, bias = start["fc1.weight"].clone(), start["fc1.bias"].clone()
    weight[:30], bias[:30] = 0.0, -1.0

    found = measure(network(blueprint, {"fc1.weight": weight, "fc1.bias": bias}), images, 5, "cpu")

    fc1 = next(layer for layer in found.layers if layer.name == "fc1.weight")
    assert (fc1.live, fc1.stored, fc1.sparsity) == (36_000, 48_000, 0.25)
    assert (fc1.flops_dense, fc1.flops_sparse, fc1.bytes) == (96_000, 72_000, 192_000)
    assert found.totals.flops_sparse == found.totals.flops_dense - 24_000
    assert found.totals.bytes_live == found.totals.bytes - 4 * 12_000
    assert [site.dead_static for site in found.sites] == [0.0, 0.0, 0.25, 0.0]
    assert found.totals.dead_static == pytest.approx(30 / (4_704 + 1_600 + 120 + 84))


def test_sites_have_their_operators_and_totals_are_weighted_by_neurons(images: TensorSplit):
    found = measure(network(lenet(), assignment={"relu1": "identity", "relu4": "tanh"}), images, 5, "cpu")

    assert [(site.path, site.operator, site.neurons) for site in found.sites] == [
        ("relu1", "identity", 4_704),
        ("relu2", "relu", 1_600),
        ("relu3", "relu", 120),
        ("relu4", "tanh", 84),
    ]
    first, second, third, last = (site.dead_dynamic for site in found.sites)
    assert first == last == 0.0
    assert found.totals.dead_dynamic == pytest.approx((1_600 * second + 120 * third) / 6_508)


def test_a_smaller_network_counts_its_own_operations_against_the_architectures(images: TensorSplit):
    form = Form(shapes={"fc2.weight": (40, 120), "fc2.bias": (40,), "fc3.weight": (10, 40)})

    found = measure(network(lenet(form)), images, 5, "cpu")

    fc2, fc3 = found.layers[3], found.layers[4]
    assert (fc2.weights, fc2.stored, fc2.live, fc2.sparsity) == (10_080, 4_800, 4_800, 1 - 4_800 / 10_080)
    assert (fc2.flops_dense, fc2.flops_sparse, fc2.bytes) == (20_160, 9_600, 19_200)
    assert (fc3.flops_dense, fc3.flops_sparse) == (1_680, 800)
    assert found.totals.parameters == PARAMETERS - 44 * 120 - 44 - 44 * 10
    assert found.totals.flops_dense == sum(FLOPS.values())
    assert found.totals.flops_sparse == sum(FLOPS.values()) - (20_160 - 9_600) - (1_680 - 800)


def test_a_shared_weight_is_stored_once_and_computes_twice():
    form = Form(shared={"layer1.1.conv1.weight": "layer1.0.conv1.weight"})
    blueprint = Blueprint("resnet18", 3, 32, 10, form)
    generator = torch.Generator().manual_seed(0)
    split = TensorSplit(
        torch.randn(2, 3, 32, 32, generator=generator), torch.tensor([1, 2]), torch.zeros(3), torch.ones(3), 10, 3, 32
    )

    found = measure(network(blueprint), split, 2, "cpu")

    layers = {layer.name: layer for layer in found.layers}
    owner, user = layers["layer1.0.conv1.weight"], layers["layer1.1.conv1.weight"]
    assert (user.weights, user.stored, user.live, user.bytes) == (owner.weights, 0, 0, 0)
    assert (user.sparsity, user.gradient_norm, user.flops_sparse) == (1.0, None, 0)
    assert owner.flops_sparse == owner.flops_dense + user.flops_dense
    assert found.totals.flops_sparse == found.totals.flops_dense


@pytest.fixture(scope="module")
def digits() -> Splits:
    return load(DataSpec(dataset="digits"), root=None, channels=1, image_size=8, seed=0)


def test_a_network_of_a_few_pixels_is_measured_on_whole_images(digits: Splits):
    kept = InputSelection("pixel", tuple(range(10, 50)))
    form = Form(shapes={"hidden.0.linear.weight": (256, 40)}, inputs=kept)
    small = network(Blueprint("mlp", 1, 8, 10, form))

    found = measure(small, digits.validation, 100, "cpu")

    first = found.layers[0]
    assert (first.weights, first.stored) == (64 * 256, 40 * 256)
    assert (first.flops_dense, first.flops_sparse) == (2 * 64 * 256, 2 * 40 * 256)
    # The same network with zeros for the pixels that it does not read.
    with_zeros = torch.zeros(256, 64)
    with_zeros[:, 10:50] = small.state["hidden.0.linear.weight"]
    whole = Network(Blueprint("mlp", 1, 8, 10), {**small.state, "hidden.0.linear.weight": with_zeros})
    masked = measure(whole, digits.validation, 100, "cpu")
    assert masked.totals.gradient_norm == pytest.approx(found.totals.gradient_norm, rel=1e-4)
    assert masked.totals.flops_sparse == found.totals.flops_sparse
    assert [s.dead_dynamic for s in masked.sites] == pytest.approx([s.dead_dynamic for s in found.sites], abs=1e-3)


def test_measurements_go_through_json(images: TensorSplit):
    found = measure(network(lenet()), images, 5, "cpu")

    again = json.loads(json.dumps(to_json(asdict(found)), allow_nan=False))

    assert again["layers"][0]["name"] == "conv1.weight"
    assert again["sites"][3]["path"] == "relu4"
    assert again["totals"]["flops_dense"] == sum(FLOPS.values())
