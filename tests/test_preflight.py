"""Checks at POST: every error has its kind, its field in the spec, the value and a way out."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from safs.activations.operators import OPERATORS
from safs.errors import DataError, SafsError, SparsityError, SpecError, SurgeryError, UnknownNameError, WeightsError
from safs.models import MODELS, ModelEntry, architectures, build
from safs.networks import Blueprint
from safs.preflight import Preflight, check
from safs.registry import Registry
from safs.spec.job import JobSpec

MINIMAL: dict[str, Any] = {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": 0.99}
NPZ = {"dataset": "npz", "path": "mine.npz"}


def checked(changes: dict[str, Any], *, root: Path | None = None, weights: Path | None = None) -> Preflight:
    return check(JobSpec.model_validate(MINIMAL | changes), data_root=root, weights=weights)


def refused(changes: dict[str, Any], *, root: Path | None = None, weights: Path | None = None) -> SafsError:
    with pytest.raises(SafsError) as caught:
        checked(changes, root=root, weights=weights)
    return caught.value


def test_a_valid_job_gives_network_sites_operators_weights_and_images() -> None:
    found = checked({})

    assert found.blueprint == Blueprint("lenet5", channels=1, image_size=28, classes=10)
    assert [(site.path, site.original) for site in found.sites] == [
        (f"relu{number}", "relu") for number in (1, 2, 3, 4)
    ]
    assert found.operators[0] == "relu"
    assert set(found.operators) == set(OPERATORS)
    # 150 + 2,400 + 48,000 + 10,080 + 840; 99% of 61,470 is 60,855.3.
    assert (found.weights, found.live) == (61_470, 615)
    # A fifth of 1,797 is for test, a tenth of the rest for validation.
    assert (found.data.train, found.data.validation, found.data.test) == (1294, 144, 359)


def test_the_networks_own_operators_come_before_the_named_ones_without_duplicates() -> None:
    assert checked({"activations": {"operators": ["tanh", "relu", "swish"]}}).operators == ("relu", "tanh", "swish")


def test_the_scope_groups_sites_by_their_original_operator() -> None:
    found = checked({"model": {"architecture": "efficientnet_b0"}, "activations": {"scope": "block"}})

    assert (len(found.sites), len(found.groups)) == (65, 16)
    assert (found.own["features.6:silu"], found.own["features.6:sigmoid"]) == ("silu", "sigmoid")
    assert checked({}).groups == {name: (name,) for name in ("relu1", "relu2", "relu3", "relu4")}
    assert checked({"activations": {"scope": "network"}}).own == {"network": "relu"}


def test_dense_weights_that_fit_are_accepted(tmp_path: Path) -> None:
    dense = build("lenet5", channels=1, classes=10, image_size=28, seed=0)
    save_file(dense.state_dict(), tmp_path / "dense.safetensors")

    assert checked({}, weights=tmp_path / "dense.safetensors").weights == 61_470


def test_a_torchvision_network_gets_the_nearest_input_that_it_takes() -> None:
    found = checked({"model": {"architecture": "torchvision/resnet18"}})

    assert found.blueprint == Blueprint("torchvision/resnet18", channels=3, image_size=32, classes=10)
    assert len(found.sites) == 17


@pytest.mark.parametrize(
    ("changes", "field", "name", "hint"),
    [
        ({"model": {"architecture": "lenet"}}, "model.architecture", "lenet", "'lenet5'"),
        ({"model": {"architecture": "torchvision/ResNet"}}, "model.architecture", "torchvision/ResNet", "resnet18"),
        ({"model": {"architecture": "torchvision/get_model"}}, "model.architecture", "torchvision/get_model", "vgg16"),
        ({"model": {"architecture": "timm/resnet19"}}, "model.architecture", "timm/resnet19", "timm/resnet18"),
        ({"data": {"dataset": "digit"}}, "data.dataset", "digit", "'digits'"),
        ({"train": {"optimizer": "tadam"}}, "train.optimizer", "tadam", "'adam'"),
        ({"train": {"schedule": "cosin"}}, "train.schedule", "cosin", "'cosine'"),
        ({"prune": {"method": "magnitud"}}, "prune.method", "magnitud", "'magnitude'"),
        ({"prune": {"distribution": "unifrom"}}, "prune.distribution", "unifrom", "'uniform'"),
        ({"prune": {"score": "magnitud"}}, "prune.score", "magnitud", "'magnitude'"),
        ({"prune": {"schedule": "cubik", "epochs": 1}}, "prune.schedule", "cubik", "'cubic'"),
        (
            {"prune": {"search": {"distributions": ["global", "lampe"]}}},
            "prune.search.distributions.1",
            "lampe",
            "'lamp'",
        ),
        (
            {"prune": {"search": {"recipes": [{"optimizer": "sgdd"}]}}},
            "prune.search.recipes.0.optimizer",
            "sgdd",
            "'sgd'",
        ),
        ({"prune": {"granularity": "wight"}}, "prune.granularity", "wight", "'weight'"),
        ({"activations": {"strategy": "lach"}}, "activations.strategy", "lach", "'lahc'"),
        ({"tune": {"strategy": "smack"}}, "tune.strategy", "smack", "'smac'"),
        ({"joint": {"strategy": "randm"}}, "joint.strategy", "randm", "'random'"),
        ({"activations": {"operators": ["swish", "rellu"]}}, "activations.operators.1", "rellu", "'relu'"),
    ],
)
def test_an_unknown_name_is_refused_with_its_field_and_the_known_names(
    changes: dict[str, Any], field: str, name: str, hint: str
) -> None:
    error = refused(changes)

    assert isinstance(error, UnknownNameError)
    assert (error.code, error.field, error.name) == ("unknown_name", field, name)
    assert repr(name) in error.message
    assert hint in error.message
    assert "Known: " in error.message


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"tune": {"strategy": "lahc"}}, "tune.strategy", "'lahc' cannot search the tune space. .*random, smac"),
        ({"joint": {"strategy": "lahc"}}, "joint.strategy", "'lahc' cannot search the joint space. .*random, smac"),
        ({"joint": {"options": {"kernel": "rbf"}}}, "joint.options.kernel", "strategy 'asha' has .*remove 'kernel'"),
        (
            {"joint": {"strategy": "asha", "epochs": 9, "options": {"min_epochs": 10}}},
            "joint.options.min_epochs",
            "min_epochs is 10, .* more than 9 epochs. Choose at most 3,",
        ),
        ({"tune": {"options": {"kernel": "rbf"}}}, "tune.options.kernel", "strategy 'smac' has .*remove 'kernel'"),
        ({"activations": {"options": {"heat": 3}}}, "activations.options.heat", "strategy 'lahc' has .*remove 'heat'"),
        ({"data": {"dataset": "npz"}}, "data.path", "'npz' needs data.path"),
        ({"data": {"dataset": "image_folder"}}, "data.path", "'image_folder' needs data.path"),
        ({"data": {"dataset": "digits", "path": "x"}}, "data.path", "'digits' takes no data.path .*'x'.* leave it out"),
        ({"data": {"dataset": "digits", "image_size": 64}}, "data.image_size", "lenet5 .* 64 pixels; .* is 32"),
        (
            {"data": {"dataset": "digits", "image_size": 16}, "model": {"architecture": "vgg16"}},
            "data.image_size",
            "vgg16 .* 16 pixels; .* is 32",
        ),
        (
            {"prune": {"search": None}, "final": {"candidates": ["one_shot", "default"]}},
            "final.candidates",
            "'default' alone.* Add 'safs'.* or 'joint'",
        ),
        ({"prune": {"options": {"norm": "l2"}}}, "prune.options.norm", "has the options rounds; remove 'norm'"),
        ({"prune": {"options": {"rounds": 0}}}, "prune.options.rounds", "'rounds' .* cannot be 0: .* greater than"),
        ({"prune": {"schedule": "one_shot", "epochs": 3}}, "prune.epochs", "'one_shot' trains nothing"),
        (
            {"prune": {"epochs": 3, "search": {"epochs": 3}}},
            "prune.search.epochs",
            "is 3, of which pruning takes 3.* Choose at least 4",
        ),
        (
            {"prune": {"schedule": "iterative", "epochs": 3}},
            "prune.epochs",
            "schedule 'iterative' needs at least 5 epochs; prune.epochs is 3",
        ),
        ({"activations": {"operators": []}}, "activations.operators", "'relu' alone.* Add another operator"),
        ({"activations": {"operators": ["relu"]}}, "activations.operators", "'relu' alone.* say 'all'"),
        (
            {"activations": {"operators": []}, "final": {"candidates": ["default", "joint"]}},
            "activations.operators",
            "'relu' alone.* nothing to search for joint.* 'hyperparameters' alone",
        ),
    ],
)
def test_options_that_contradict_each_other_are_refused_with_the_way_out(
    changes: dict[str, Any], field: str, message: str
) -> None:
    error = refused(changes)

    assert isinstance(error, SpecError)
    assert (error.code, error.field) == ("invalid_spec", field)
    assert re.search(message, error.message)


def test_one_operator_is_enough_where_no_search_would_use_it() -> None:
    changes = {"activations": {"operators": []}, "final": {"candidates": ["default", "hyperparameters"]}}

    assert checked(changes).operators == ("relu",)


def test_a_sparsity_that_empties_a_layer_under_uniform_names_the_layer_and_what_to_choose() -> None:
    error = refused({"sparsity": 0.9999, "prune": {"distribution": "uniform"}})

    assert isinstance(error, SparsityError)
    assert (error.code, error.field) == ("impossible_sparsity", "sparsity")
    assert "0.9999 under the distribution 'uniform' leaves layer 'conv1.weight' 0 of its 150 weights" in error.message
    assert "Choose the distribution 'global', or a sparsity of at most 0.99" in error.message
    highest = float(re.findall(r"at most (0\.\d+)\.", error.message)[0])
    assert checked({"sparsity": highest, "prune": {"distribution": "uniform"}}).live > 0


@pytest.mark.parametrize("distribution", ["global", "erk", "uniform"])
def test_a_sparsity_that_leaves_fewer_weights_than_layers_says_the_highest_possible(distribution: str) -> None:
    error = refused({"sparsity": 0.99999, "prune": {"distribution": distribution}})

    assert isinstance(error, SparsityError)
    assert (error.code, error.field) == ("impossible_sparsity", "sparsity")
    assert "0.99999 leaves 1 of 61470 weights to 5 layers, which need 5" in error.message
    highest = float(re.findall(r"at most (0\.\d+)\.", error.message)[0])
    # One weight for each of five layers: round(0.99992 * 61,470) is 61,465. Uniform, conv1's 150 are too few for that.
    assert highest == (0.99992 if distribution != "uniform" else pytest.approx(0.9965, abs=1e-4))
    assert checked({"sparsity": highest, "prune": {"distribution": distribution}}).live >= 5


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("mine.npz", "data.path 'mine.npz' does not exist under the data root"),
        ("../mine.npz", "'../mine.npz' must be relative"),
        ("/etc/passwd", "'/etc/passwd' must be relative"),
        ("mine\0.npz", "without NUL"),
    ],
)
def test_a_data_set_outside_the_root_is_refused(tmp_path: Path, path: str, message: str) -> None:
    error = refused({"data": NPZ | {"path": path}}, root=tmp_path)

    assert isinstance(error, DataError)
    assert (error.code, error.field) == ("data_unavailable", "data.path")
    assert message in error.message


def test_a_data_set_with_files_and_no_root_says_which_variable_to_set() -> None:
    error = refused({"data": NPZ})

    assert isinstance(error, DataError)
    assert error.field == "data.dataset"
    assert "set SAFS_DATA_ROOT" in error.message


def test_images_of_more_channels_than_the_network_takes_are_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", x=np.zeros((40, 2, 28, 28), np.uint8), y=np.arange(40) % 2)

    error = refused({"data": NPZ}, root=tmp_path)

    assert isinstance(error, DataError)
    assert error.field == "data.dataset"
    assert "the images have 2 channels and the network takes 3" in error.message


def test_fractions_that_leave_no_training_images_are_refused() -> None:
    error = refused({"data": {"dataset": "digits", "validation_fraction": 0.9999}})

    assert isinstance(error, DataError)
    assert "leave none to train on" in error.message
    assert "data.validation_fraction" in error.message


def test_weights_of_another_network_are_refused_with_the_first_mismatches(tmp_path: Path) -> None:
    dense = build("lenet5", channels=1, classes=7, image_size=28, seed=0).state_dict()
    dense["extra"] = dense.pop("conv1.bias")
    save_file(dense, tmp_path / "dense.safetensors")

    error = refused({}, weights=tmp_path / "dense.safetensors")

    assert isinstance(error, WeightsError)
    assert (error.code, error.field) == ("invalid_weights", "model.weights")
    assert "conv1.bias is missing" in error.message
    assert "extra is not a name of this network" in error.message
    assert "fc3.weight has shape [7, 84], the network [10, 84]" in error.message


def test_weights_of_another_dtype_are_refused(tmp_path: Path) -> None:
    dense = build("lenet5", channels=1, classes=10, image_size=28, seed=0).state_dict()
    save_file(dense | {"fc3.bias": torch.zeros(10, dtype=torch.int64)}, tmp_path / "dense.safetensors")

    assert "fc3.bias has dtype I64" in refused({}, weights=tmp_path / "dense.safetensors").message


@pytest.mark.parametrize("content", [b"", b"not safetensors", b"\x40\x00\x00\x00\x00\x00\x00\x00{"])
def test_weights_that_are_no_whole_safetensors_file_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "dense.safetensors").write_bytes(content)

    error = refused({}, weights=tmp_path / "dense.safetensors")

    assert isinstance(error, WeightsError)
    assert error.field == "model.weights"
    assert "not a readable safetensors file" in error.message


def test_a_network_that_torch_fx_cannot_trace_is_captured() -> None:
    found = checked({"model": {"architecture": "timm/nest_tiny"}})

    assert found.blueprint.declared is not None
    assert found.blueprint.identity == "timm/nest_tiny"
    assert len(found.sites) == 12


class Branching(nn.Module):
    """A network whose forward pass depends on the values of its images."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            x = -x
        return torch.relu(self.fc(x.flatten(1)))


def test_a_network_that_cannot_be_traced_is_refused_with_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = ModelEntry("branching", lambda shape, classes: Branching(), lambda wanted: wanted, "", "")
    monkeypatch.setattr(architectures, "MODELS", Registry("architecture", dict(MODELS) | {entry.name: entry}))

    error = refused({"model": {"architecture": "branching"}})

    assert isinstance(error, SurgeryError)
    assert (error.code, error.field) == ("untraceable_model", "model.architecture")
    assert re.search(r"test_preflight\.py:\d+: ", error.message)


def test_starts_that_cannot_reach_the_sparsity_are_left_out() -> None:
    search = {"starts": 3, "schedules": ["cubic"], "distributions": ["global", "uniform"]}

    found = checked({"sparsity": 0.9999, "prune": {"search": search}})

    assert list(found.starts) == ["global, cubic, sgd 0.03", "global, cubic, sgd 0.01"]


def test_a_job_whose_only_search_is_for_a_pruning_is_accepted() -> None:
    assert checked({"preset": "quick", "final": {"candidates": ["one_shot", "default"]}}).starts


def test_a_target_is_checked_at_the_sparsity_that_its_layers_shapes_suggest() -> None:
    found = checked({"sparsity": None, "target": {"flops": 0.3}, "prune": {"distribution": "uniform"}})

    assert found.sparsity == pytest.approx(0.7, abs=1e-3)
    assert found.live == pytest.approx(0.3 * found.weights, abs=50)


def test_a_target_that_no_sparsity_reaches_is_refused_with_the_nearest() -> None:
    error = refused({"sparsity": None, "target": {"bytes": 1000}})

    assert isinstance(error, SparsityError)
    assert (error.code, error.field) == ("impossible_sparsity", "target.bytes")
    assert re.search(
        r"bytes 1000 cannot be reached: .* about [\d,]+ bytes are left. Choose at least \d+", error.message
    )


def test_starts_that_cannot_reach_the_target_are_left_out() -> None:
    change = {"sparsity": None, "target": {"flops": 0.001}, "preset": "quick", "prune": {"search": {"starts": 4}}}

    assert {start.distribution for start in checked(change).starts.values()} == {"global", "lamp"}
