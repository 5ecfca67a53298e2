"""The compact checkpoint file."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from safs.compact.file import bound, read, write
from safs.errors import CheckpointError


@pytest.fixture
def state() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(200, 100, generator=generator)
    return {
        "fc.weight": weight.where(weight.abs() > 2, 0.0),
        "fc.bias": torch.randn(200, generator=generator),
        "steps": torch.tensor(7),
    }


def test_the_state_comes_back_bit_by_bit(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "compact.safetensors"

    write(path, state, ["fc.weight"], "ab" * 32, bits=32)
    back = read(path)

    assert back.checkpoint_sha256 == "ab" * 32
    assert back.state.keys() == state.keys()
    assert all(torch.equal(back.state[name], tensor) for name, tensor in state.items())
    assert path.stat().st_size < 0.1 * state["fc.weight"].nbytes


def test_any_reader_of_safetensors_reads_the_other_tensors(tmp_path: Path, state: dict[str, Tensor]) -> None:
    write(tmp_path / "f", state, ["fc.weight"], "", bits=32)

    assert torch.equal(load_file(tmp_path / "f")["fc.bias"], state["fc.bias"])


def test_a_tensor_that_coding_would_enlarge_is_stored_as_it_is(tmp_path: Path, state: dict[str, Tensor]) -> None:
    small = {"weight": torch.ones(2, 2)}

    write(tmp_path / "f", small, ["weight"], "", bits=32)

    assert torch.equal(load_file(tmp_path / "f")["weight"], small["weight"])


def test_bfloat16_halves_the_values_and_its_content_is_checked_too(tmp_path: Path, state: dict[str, Tensor]) -> None:
    write(tmp_path / "f", state, ["fc.weight"], "", bits=16)

    weight = read(tmp_path / "f").state["fc.weight"]

    assert torch.equal(weight, state["fc.weight"].bfloat16().float())
    assert torch.equal(weight != 0, state["fc.weight"] != 0)


def test_an_altered_tensor_is_noticed(tmp_path: Path, state: dict[str, Tensor]) -> None:
    write(tmp_path / "f", state, ["fc.weight"], "", bits=32)
    with safe_open(tmp_path / "f", "pt") as file:
        metadata = file.metadata()
    tensors = load_file(tmp_path / "f")
    tensors["fc.bias"][0] += 1
    save_file(tensors, tmp_path / "f", metadata)

    with pytest.raises(CheckpointError, match="was altered"):
        read(tmp_path / "f")


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"safs_compact": "[]"},
        {"safs_compact": "{"},
        {"safs_compact": '{"version":2}'},
        {"safs_compact": '{"version":1}'},
    ],
)
def test_another_format_is_refused(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "f", metadata)

    with pytest.raises(CheckpointError, match=r"no compact checkpoint of version 1|cannot be read"):
        read(tmp_path / "f")


def test_the_bound_counts_other_tensors_as_they_are(state: dict[str, Tensor]) -> None:
    assert bound(state, [], bits=32) == 200 * 100 * 4 + 200 * 4 + 8
    assert bound(state, ["fc.weight"], bits=32) < 0.1 * 200 * 100 * 4
