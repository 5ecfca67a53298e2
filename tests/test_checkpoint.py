import hashlib
import json
import shutil
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from safs.activations.surgery import rewire
from safs.checkpoint import load, save, verify
from safs.errors import CheckpointError
from safs.networks import Blueprint, Network
from safs.pruning.masks import apply_masks, prunable_parameters
from safs.result_folder import RESULT_FILES
from tests.pruning.magnitude import magnitude_masks

LENET = Blueprint("lenet5", 1, 28, 10)
SPARSITY = 0.9
WEIGHTS, CONFIG = (RESULT_FILES[name].filename for name in ("checkpoint", "config"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A result folder of a pruned LeNet-5 with operators whose scalars were trained."""
    model = LENET.build(seed=0)
    masks = magnitude_masks(model, SPARSITY)
    apply_masks(prunable_parameters(model), masks)
    assignment = {"relu1": "swish", "relu3": "acon"}
    scalars = {"relu1": {"alpha": 0.1, "beta": 1.7}, "relu3": {"p1": 1.5, "p2": -0.5, "beta": 0.3}}
    network = Network(LENET, dict(model.state_dict()), masks, assignment, scalars)
    save(tmp_path, network, {"spec": {"sparsity": SPARSITY}})
    return tmp_path


def _rewrite(folder: Path, change: Callable[[dict[str, Tensor]], None]) -> None:
    """Change the weights and update the hash, as an attacker would."""
    state = load_file(folder / WEIGHTS)
    change(state)
    save_file(state, folder / WEIGHTS)
    _configure(folder, {"sha256": {WEIGHTS: hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()}})


def _configure(folder: Path, change: dict[str, Any]) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | change))


def test_an_intact_folder_verifies_with_exact_counts(folder: Path) -> None:
    verified = verify(folder)

    # 90% of 61,470 is 55,323.
    assert (verified.sparsity.weights, verified.sparsity.live) == (61_470, 61_470 - 55_323)
    assert verified.sha256 == hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()


def test_the_loaded_network_computes_what_its_operators_and_scalars_say(folder: Path) -> None:
    images = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    model = LENET.build(state=load_file(folder / WEIGHTS))
    config = json.loads((folder / CONFIG).read_text())

    loaded = load(folder)

    by_hand = rewire(model, config["assignment"], scalars=config["scalars"]).eval()
    assert not loaded.training
    assert torch.equal(loaded(images), by_hand(images))
    plain = rewire(LENET.build(state=load_file(folder / WEIGHTS)), config["assignment"]).eval()
    assert not torch.allclose(loaded(images), plain(images))


def test_pruned_weights_are_positive_zeros_in_the_file(folder: Path) -> None:
    state = load_file(folder / WEIGHTS)

    assert not any(bool(((tensor == 0) & torch.signbit(tensor)).any()) for tensor in state.values())


def test_one_flipped_bit_is_noticed(folder: Path) -> None:
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)

    for read in (verify, load):
        with pytest.raises(CheckpointError, match=r"altered or cut short.*Download it again"):
            read(folder)


def test_a_truncated_file_is_noticed_by_verify_and_by_load(folder: Path) -> None:
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[: len(content) // 2])

    for read in (verify, load):
        with pytest.raises(CheckpointError, match="cut short"):
            read(folder)


@pytest.mark.parametrize("missing", [WEIGHTS, CONFIG])
def test_a_folder_without_one_of_its_files_is_no_result_folder(folder: Path, missing: str) -> None:
    (folder / missing).unlink()

    for read in (verify, load):
        with pytest.raises(CheckpointError, match=f"no result folder: it has no {missing}"):
            read(folder)


def test_a_format_of_a_later_version_is_refused(folder: Path) -> None:
    _configure(folder, {"format": 99})

    with pytest.raises(CheckpointError, match="not of format 1"):
        load(folder)


def test_a_single_weight_too_few_is_refused_though_the_hash_fits(folder: Path) -> None:
    def kill_one(state: dict[str, Tensor]) -> None:
        flat = state["fc3.weight"].view(-1)
        flat[flat.nonzero()[0]] = 0.0

    _rewrite(folder, kill_one)

    with pytest.raises(CheckpointError, match=r"6146 live weights of 61470; sparsity 0.9 means 6147.*fc3\.weight has"):
        verify(folder)


def test_a_weight_that_moved_to_another_layer_is_refused_though_the_total_fits(folder: Path) -> None:
    def move_one(state: dict[str, Tensor]) -> None:
        source, target = state["fc3.weight"].view(-1), state["fc1.weight"].view(-1)
        source[source.nonzero()[0]] = 0.0
        target[(target == 0).nonzero()[0]] = 1.0

    _rewrite(folder, move_one)

    with pytest.raises(CheckpointError, match=r"fc1\.weight has .*; fc3\.weight has"):
        verify(folder)


def test_weights_of_another_network_are_refused(folder: Path) -> None:
    _rewrite(folder, lambda state: state.pop("conv1.bias"))

    with pytest.raises(CheckpointError, match=r"does not fit lenet5.*conv1\.bias is missing"):
        verify(folder)


def test_a_config_that_claims_another_sparsity_is_refused(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other, ignore=shutil.ignore_patterns("other"))
    _configure(other, {"spec": {"sparsity": 0.95}})

    with pytest.raises(CheckpointError, match=r"sparsity 0\.95 means 3074"):
        verify(other)


def test_alphas_and_betas_are_what_the_formulas_make_of_them(tmp_path: Path) -> None:
    state = LENET.build(seed=0).state_dict()
    scalars = {site: {"alpha": 1.5, "beta": 0.5} for site in ("relu1", "relu2", "relu3", "relu4")}
    network = Network(LENET, state, None, {"relu1": "swish", "relu2": "tanh", "relu4": "gelu"}, scalars)
    images = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))

    save(tmp_path, network, {"spec": {"sparsity": 0.0}})
    loaded = load(str(tmp_path))

    x = F.conv2d(images, state["conv1.weight"], state["conv1.bias"], padding=2)
    x = F.max_pool2d(1.5 * x * torch.sigmoid(0.5 * x), 2)
    x = F.conv2d(x, state["conv2.weight"], state["conv2.bias"])
    x = F.max_pool2d(1.5 * torch.tanh(0.5 * x), 2).flatten(1)
    x = 1.5 * torch.relu(0.5 * F.linear(x, state["fc1.weight"], state["fc1.bias"]))
    x = 1.5 * F.gelu(0.5 * F.linear(x, state["fc2.weight"], state["fc2.bias"]))
    assert torch.allclose(loaded(images), F.linear(x, state["fc3.weight"], state["fc3.bias"]), atol=1e-6)


def test_plain_safetensors_reads_the_models_own_names(folder: Path) -> None:
    assert set(load_file(folder / WEIGHTS)) == set(LENET.build().state_dict())


def test_config_is_strict_json_also_where_a_number_is_not_finite(tmp_path: Path) -> None:
    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    details = {"spec": {"sparsity": 0.0}, "evaluation": {"test_cross_entropy": inf}}
    save(tmp_path, Network(LENET, LENET.build(seed=0).state_dict()), details)

    config = json.loads((tmp_path / CONFIG).read_text(), parse_constant=refuse)
    assert config["evaluation"] == {"test_cross_entropy": None}


def test_a_pruned_weight_that_was_revived_is_refused_though_the_hash_fits(folder: Path) -> None:
    def revive_one(state: dict[str, Tensor]) -> None:
        flat = state["conv2.weight"].view(-1)
        flat[(flat == 0).nonzero()[0]] = 1e-30

    _rewrite(folder, revive_one)

    with pytest.raises(CheckpointError, match=r"6148 live weights.* means 6147.*conv2\.weight has \d+, not \d+"):
        verify(folder)


def test_a_file_that_is_no_safetensors_is_refused_though_the_hash_fits(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"no safetensors")
    _configure(folder, {"sha256": {WEIGHTS: hashlib.sha256(b"no safetensors").hexdigest()}})

    with pytest.raises(CheckpointError, match=r"checkpoint\.safetensors cannot be read"):
        verify(folder)


def test_a_file_is_no_result_folder(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="is no result folder"):
        verify(folder / CONFIG)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_a_config_that_is_not_json_is_refused(folder: Path, content: bytes) -> None:
    (folder / CONFIG).write_bytes(content)

    with pytest.raises(CheckpointError, match=r"config\.json is no JSON"):
        verify(folder)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"sha256": None}, "sha256"),
        ({"assignment": {"relu1": 3}}, r"assignment\.relu1"),
        ({"model": {"architecture": "lenet5", "channels": 1, "image_size": 28}}, r"model\.classes"),
        ({"spec": {}}, r"spec\.sparsity"),
        ({"scalars": {"relu1": {"alpha": None}}}, r"scalars\.relu1\.alpha"),
    ],
)
def test_a_config_that_lacks_something_says_what(folder: Path, change: dict[str, Any], place: str) -> None:
    _configure(folder, change)

    for read in (verify, load):
        with pytest.raises(CheckpointError, match=rf"config\.json was altered: {place}: "):
            read(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"architecture": "lenet", "channels": 1, "image_size": 28, "classes": 10}}, "'lenet5'"),
        ({"model": {"architecture": "lenet5", "channels": 1, "image_size": 64, "classes": 10}}, "1 x 32 x 32"),
        ({"assignment": {"relu9": "tanh"}}, "unknown activation site 'relu9'"),
        ({"assignment": {"relu1": "tahn"}}, "unknown operator 'tahn'"),
        ({"scalars": {"relu1": {"gamma": 1.0}}}, "'gamma'"),
    ],
)
def test_a_config_that_does_not_fit_its_network_says_where(folder: Path, change: dict[str, Any], message: str) -> None:
    _configure(folder, change)

    for read in (verify, load):
        with pytest.raises(CheckpointError, match=f"does not fit lenet.*{message}"):
            read(folder)
