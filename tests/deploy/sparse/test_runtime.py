"""The runtime for sparse networks: equal outputs by every plan, and dense where sparse is wrong or not there."""

import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor

import safs
from safs.checkpoint import open_result
from safs.deploy.sparse.lanes.network import LaneNetwork
from safs.deploy.sparse.runtime import SparseNetwork
from safs.deploy.sparse.steps import Convolution
from safs.deploy.torch_graph import traced
from safs.errors import MissingExtraError, UnknownNameError
from safs.inputs import SelectInputs
from safs.networks import Blueprint
from tests.deploy.results import LENET, write_result
from tests.deploy.test_torch_file import NETWORKS

CLASSIFIERS = {
    name: Blueprint(f"torchvision/{name}", 3, size, 5)
    for name, size in {
        "mobilenet_v3_small": 64,
        "densenet121": 64,
        "googlenet": 64,
        "shufflenet_v2_x0_5": 64,
        "regnet_x_400mf": 64,
        "resnet18": 64,
        "convnext_tiny": 64,
        "vit_b_16": 224,
    }.items()
}


def images(blueprint: Blueprint, count: int = 3) -> Tensor:
    shape = (count, blueprint.channels, blueprint.image_size, blueprint.image_size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def check(folder: Path, count: int = 3) -> None:
    """Assert that the result's network has equal outputs by every plan."""
    opened = open_result(folder)
    network, x = SparseNetwork(traced(opened.model)), images(opened.network.blueprint, count)
    selection = opened.network.blueprint.form.inputs
    if selection is not None:
        x = SelectInputs(selection)(x)
    with torch.inference_mode():
        expected = opened.model(x)
    for way in ("dense", "channels_last", "sparse", "csr", "lanes"):
        actual = network.run(x, network.plan(way))
        # The classifier of vit_b_16 starts at zero, so its outputs are denormal numbers.
        assert (actual - expected).abs().max() <= 1e-5 * expected.abs().max() + 1e-30, way
    runs = [network.chain(x, network.plan("sparse")), network.lanes(x)]
    for given in (x, x.flip(0), x):  # Memory that is used again holds values of the batch before.
        with torch.inference_mode():
            wanted, actual = opened.model(given), [run(given) for run in runs if run is not None]
        for logits in actual:
            assert (logits - wanted).abs().max() <= 1e-5 * wanted.abs().max() + 1e-30


@pytest.mark.parametrize("name", ["lenet", *NETWORKS])
def test_every_kind_of_network_has_equal_outputs_by_every_plan(tmp_path: Path, name: str) -> None:
    blueprint = NETWORKS.get(name, LENET)

    check(write_result(tmp_path, blueprint, ("swish", "relu", "softplus", "relu6")))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_networks_of_torchvision_have_equal_outputs_by_every_plan(tmp_path: Path, name: str) -> None:
    check(write_result(tmp_path, CLASSIFIERS[name], ("relu", "swish"), 0.95, "erk"), 2)


@pytest.mark.parametrize("name", ["lenet", "selected pixels", pytest.param("resnet18", marks=pytest.mark.exhaustive)])
def test_a_loaded_network_takes_batches_of_any_size_again_and_again(tmp_path: Path, name: str) -> None:
    blueprint = NETWORKS.get(name, LENET)
    folder = write_result(tmp_path, blueprint, sparsity=0.98)
    network, expected = safs.load(folder, runtime="sparse"), safs.load(folder)

    for count in (1, 5, 1, 5):
        x = images(blueprint, count)
        assert torch.allclose(network(x), expected(x), rtol=1e-4, atol=1e-4)


def test_the_plan_is_at_least_as_fast_as_the_dense_one(tmp_path: Path) -> None:
    network = safs.load(write_result(tmp_path, sparsity=0.95), runtime="sparse")
    assert isinstance(network, SparseNetwork)

    network(images(LENET))

    (timings,) = network.timings.values()
    assert timings.seconds <= timings.dense_seconds
    assert set(timings.ways.values()) <= {"dense", "channels_last", "sparse", "csr", "lanes"}
    assert len(timings.ways) == 5


def test_sparse_layers_that_are_wrong_are_not_used_and_a_warning_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_result(tmp_path)
    network = safs.load(folder, runtime="sparse")
    assert isinstance(network, SparseNetwork)
    for step in network.steps:
        if isinstance(step, Convolution) and step.sparse is not None:
            step.sparse._bias += 1  # a broken kernel
    monkeypatch.setattr(LaneNetwork, "__call__", lambda *_: torch.zeros(3, 10))

    with pytest.warns(RuntimeWarning, match=r"compute something else.*run dense"):
        logits = network(images(LENET))

    assert torch.allclose(logits, safs.load(folder)(images(LENET)), atol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network(images(LENET))


def test_outputs_below_the_smallest_normal_number_need_no_equal_digits() -> None:
    network = SparseNetwork(traced(torch.nn.Linear(2, 2).eval()))
    expected = torch.full((1, 2), 2.5e-44)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert network._is_right(lambda _: 3 * expected, torch.zeros(1, 2), expected)
    with pytest.warns(RuntimeWarning, match="compute something else"):
        assert not network._is_right(lambda _: 1e9 * expected, torch.zeros(1, 2), expected)


def test_no_engine_records_gradients(tmp_path: Path) -> None:
    opened = open_result(write_result(tmp_path, operators=("srs", "tanhsoft1")))
    network, x = SparseNetwork(traced(opened.model)), images(LENET)
    sparse = network.plan("sparse")
    lanes = network.lanes(x)
    assert lanes is not None

    for run in (network, network.chain(x, sparse), lanes, lambda batch: network.run(batch, sparse)):
        assert not run(x.clone()).requires_grad


def test_an_unknown_runtime_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown runtime 'spars'"):
        safs.load(tmp_path, runtime="spars")


def test_a_missing_numba_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("safs.deploy.sparse.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "numba", None)

    with pytest.raises(MissingExtraError, match=r"needs numba.*safs-service\[sparse\]"):
        safs.load(write_result(tmp_path), runtime="sparse")
