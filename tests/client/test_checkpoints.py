"""Checkpoints of torch.save, converted on the user's machine without running what they hold."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from safs.client.checkpoints import as_safetensors
from safs.client.errors import ServiceError

STATE = {"fc.weight": torch.arange(6.0).reshape(2, 3).T, "fc.bias": torch.ones(3)}


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"state_dict": STATE, "epoch": 3, "optimizer": {"lr": 0.1}},
        {"model_state_dict": STATE, "loss": 0.5},
        {"model": STATE},
        STATE | {"shared": STATE["fc.bias"], "version": 2},
    ],
    ids=["plain", "state_dict", "model_state_dict", "model", "shared memory and a number"],
)
@pytest.mark.parametrize("suffix", [".pt", ".CKPT"])
def test_state_dicts_are_found_and_converted(tmp_path: Path, content: dict[str, Any], suffix: str) -> None:
    torch.save(content, tmp_path / f"best{suffix}")

    with as_safetensors(tmp_path / f"best{suffix}") as file:
        found = load_file(file)

    assert file.name == "best.safetensors"
    assert all(torch.equal(found[name], value) for name, value in STATE.items())


def test_other_files_pass_as_they_are(tmp_path: Path) -> None:
    with as_safetensors(tmp_path / "w.safetensors") as file:
        assert file == tmp_path / "w.safetensors"


class _Evil:
    """An object whose pickle runs a command when it is loaded."""

    def __reduce__(self) -> Any:
        import os

        return os.mkdir, ("pwned",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (nn.Linear(2, 2), r"Save network\.state_dict\(\), not the network itself"),
        ({"state_dict": STATE, "hook": _Evil()}, "more than tensors and plain values"),
        ({"epoch": 3, "lr": 0.1}, "has no state dict; it holds epoch, lr"),
        ([1, 2], "has no state dict; it holds list"),
    ],
    ids=["a module", "code", "no state dict", "a list"],
)
def test_what_holds_no_state_dict_is_refused_and_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "best.pth")

    with pytest.raises(ServiceError, match=words), as_safetensors(tmp_path / "best.pth"):
        pass

    assert [path.name for path in tmp_path.iterdir()] == ["best.pth"]
