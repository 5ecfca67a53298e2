"""Weights in other formats, under other names, and beyond the range of float32."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from safs.errors import WeightsError
from safs.models import build
from safs.models.weights import check_dense_weights, load_dense_weights


def lenet() -> nn.Module:
    return build("lenet5", channels=1, classes=10, image_size=28, seed=0)


def test_names_of_another_network_are_shown(tmp_path: Path) -> None:
    renamed = {f"{name}_of_mine": value for name, value in lenet().state_dict().items()}
    save_file(renamed, tmp_path / "w.safetensors")

    with pytest.raises(WeightsError) as caught:
        check_dense_weights(tmp_path / "w.safetensors", lenet())

    message = str(caught.value)
    assert message.startswith(
        "the weights do not fit LeNet5: conv1.weight is missing (the file has conv1.weight_of_mine)"
    )
    assert "; and 15 more." in message


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("function", [check_dense_weights, load_dense_weights])
def test_a_file_of_torch_save_is_recognised(tmp_path: Path, function, legacy: bool) -> None:
    torch.save(lenet().state_dict(), tmp_path / "w.pt", _use_new_zipfile_serialization=not legacy)

    with pytest.raises(WeightsError, match=r"w\.pt: a file of torch\.save.*save_file\(torch\.load") as caught:
        function(tmp_path / "w.pt", lenet())

    assert caught.value.field == "model.weights"


@pytest.mark.parametrize("start", [b"\x89HDF\r\n\x1a\n", b"\x08\x07\x12\x07pytorch"])
def test_other_files_are_refused_with_the_conversion(tmp_path: Path, start: bytes) -> None:
    (tmp_path / "w.h5").write_bytes(start + bytes(100))

    with pytest.raises(WeightsError, match=r"w\.h5: not a readable safetensors file .*safetensors\.torch\.save_file"):
        check_dense_weights(tmp_path / "w.h5", lenet())


@pytest.mark.parametrize("function", [check_dense_weights, load_dense_weights])
def test_float64_beyond_float32_is_refused_by_the_check(tmp_path: Path, function) -> None:
    state = {name: value.double() for name, value in lenet().state_dict().items()}
    save_file(state, tmp_path / "good.safetensors")
    state["fc3.bias"][0] = 1e39
    save_file(state, tmp_path / "w.safetensors")

    function(tmp_path / "good.safetensors", lenet())
    with pytest.raises(WeightsError, match=r"w\.safetensors: fc3\.bias has values beyond the range of float32"):
        function(tmp_path / "w.safetensors", lenet())
