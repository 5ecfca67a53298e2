import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from safs.activations.surgery import rewire
from safs.checkpoint import CONFIG, WEIGHTS, load, save, verify
from safs.errors import CheckpointError
from safs.pruning import PRUNERS
from safs.pruning.masks import apply_masks, prunable_parameters
from safs.spec import PruneSpec
from safs.trainings import Blueprint, Network

LENET = Blueprint("lenet5", 1, 28, 10)
SPARSITY = 0.9


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A result folder of a pruned LeNet-5 with operators whose scalars were trained."""
    model = LENET.build(seed=0)
    masks = PRUNERS["magnitude"].prune(model, SPARSITY, PruneSpec())
    apply_masks(prunable_parameters(model), masks)
    assignment = {"relu1": "swish", "relu3": "acon"}
    scalars = {"relu1": {"alpha": 0.1, "beta": 1.7}, "relu3": {"p1": 1.5, "p2": -0.5, "beta": 0.3}}
    network = Network(dict(model.state_dict()), assignment, scalars)
    save(tmp_path, network, LENET, masks, {"spec": {"sparsity": SPARSITY}})
    return tmp_path


def _rewrite(folder: Path, change: Callable[[dict[str, Tensor]], None]) -> None:
    """Changes the weights and makes the hash fit them, as somebody who wants to deceive would."""
    state = load_file(folder / WEIGHTS)
    change(state)
    save_file(state, folder / WEIGHTS)
    _configure(folder, {"sha256": {WEIGHTS: hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()}})


def _configure(folder: Path, change: dict[str, Any]) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | change))


def test_a_sound_folder_verifies_with_exact_counts(folder: Path) -> None:
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

    with pytest.raises(CheckpointError, match=r"altered or cut short.*Download it again"):
        verify(folder)


def test_a_truncated_file_is_noticed_by_verify_and_by_load(folder: Path) -> None:
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[: len(content) // 2])

    with pytest.raises(CheckpointError, match="cut short"):
        verify(folder)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load(folder)


@pytest.mark.parametrize("missing", [WEIGHTS, CONFIG])
def test_a_folder_without_one_of_its_files_is_no_result_folder(folder: Path, missing: str) -> None:
    (folder / missing).unlink()

    with pytest.raises(CheckpointError, match=f"no result folder: it has no {missing}"):
        verify(folder)


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
