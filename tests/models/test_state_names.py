"""State dicts as people save them: what is mended, what is said of it, and what is not mended."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from safs.errors import WeightsError
from safs.models import build
from safs.models.state_names import fit_names
from safs.models.weights import check_dense_weights, load_dense_weights

State = dict[str, Tensor]


def _network(seed: int = 0) -> torch.nn.Module:
    return build("resnet18", channels=1, classes=3, image_size=8, seed=seed)


def _prefixed(prefix: str) -> Callable[[State], State]:
    return lambda state: {prefix + name: value for name, value in state.items()}


def _without_batches(state: State) -> State:
    return {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}


def _with_counters(state: State) -> State:
    return state | {"total_ops": torch.zeros(1), "layer1.0.total_params": torch.zeros(1)}


def _as(dtype: torch.dtype) -> Callable[[State], State]:
    return lambda state: {
        name: value.to(dtype) if value.is_floating_point() else value for name, value in state.items()
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_prefixed("module."), "the prefix 'module.'"),
        (_prefixed("_orig_mod."), "the prefix '_orig_mod.'"),
        (_prefixed("module._orig_mod."), "the prefix 'module._orig_mod.'"),
        (_prefixed("model."), "the prefix 'model.'"),
        (_prefixed("net.backbone."), "the prefix 'net.backbone.'"),
        (_without_batches, "counters num_batches_tracked are missing"),
        (_with_counters, "2 counters of a profiler are left out"),
        (lambda state: _prefixed("module.")(_with_counters(_without_batches(state))), "the prefix 'module.'"),
        (_as(torch.float16), "weights of float16 are converted"),
        (_as(torch.bfloat16), "weights of bfloat16 are converted"),
        (_as(torch.float64), "weights of float64 are converted"),
    ],
)
def test_what_can_be_mended_is_loaded_and_named(tmp_path: Path, change: Callable[[State], State], words: str) -> None:
    source, target = _network(1), _network(2)
    given = change(source.state_dict())
    save_file(given, tmp_path / "w.safetensors")

    notes = check_dense_weights(tmp_path / "w.safetensors", target)
    load_dense_weights(tmp_path / "w.safetensors", target)

    assert words in " ".join(notes)
    stored = change(dict.fromkeys(["conv1.weight"], source.state_dict()["conv1.weight"]))
    (expected,) = [value.float() for name, value in stored.items() if name.endswith("conv1.weight")]
    assert torch.equal(target.state_dict()["conv1.weight"], expected)
    for name, value in source.state_dict().items():
        torch.testing.assert_close(target.state_dict()[name], value, rtol=0.01, atol=0.01)


def test_a_state_dict_that_fits_is_not_touched(tmp_path: Path) -> None:
    save_file(_network().state_dict(), tmp_path / "w.safetensors")

    assert check_dense_weights(tmp_path / "w.safetensors", _network()) == ()


def test_a_prefix_of_a_part_of_the_names_is_not_removed() -> None:
    found = fit_names(["model.fc.weight", "fc.bias"], ["fc.weight", "fc.bias"])

    assert found.names == {"model.fc.weight": "model.fc.weight", "fc.bias": "fc.bias"}


def test_what_cannot_be_mended_names_the_nearest(tmp_path: Path) -> None:
    state = _network().state_dict()
    state["layer1.0.conv_1.weight"] = state.pop("layer1.0.conv1.weight")
    save_file(state, tmp_path / "w.safetensors")

    with pytest.raises(WeightsError, match=r"layer1\.0\.conv1\.weight is missing \(the file has layer1\.0\.conv_1"):
        check_dense_weights(tmp_path / "w.safetensors", _network())


def test_a_prefix_is_removed_even_where_another_mismatch_is_left(tmp_path: Path) -> None:
    state = _prefixed("module.")(_network().state_dict())
    del state["module.conv1.weight"]
    save_file(state, tmp_path / "w.safetensors")

    with pytest.raises(WeightsError, match=r"ResNet: conv1\.weight is missing"):
        check_dense_weights(tmp_path / "w.safetensors", _network())
