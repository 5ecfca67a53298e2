"""Networks in files of the user: ``--model net.py:build`` and ``safs convert``."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import Result

from cli.errors import CommandError
from cli.own_network import load_network, parsed_input
from safs.errors import SurgeryError
from safs.models import build
from safs.models.declared.file import read_document, read_state
from safs.models.declared.programs import captured_from_program
from safs.models.declared.rebuild import rebuild
from safs.models.weights import copy_state
from tests.models.declared.networks import Own

NET = """
import torch
from neighbour import WIDTH
from torch import nn

def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 10))

ready = build()
number = 7
"""
JOB = """
model: {architecture: mlp}
data: {dataset: digits, batch_size: 64, image_size: 8}
sparsity: 0.5
train: {epochs: 1}
joint: {strategy: random, trials: 1, epochs: 1}
final: {epochs: 1, candidates: [default, joint]}
"""
ONE_SHOT = "prune: {schedule: one_shot, distribution: global}\n"


@pytest.fixture
def net(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "neighbour.py").write_text("WIDTH = 12\n")
    return tmp_path / "net.py"


@pytest.mark.parametrize("name", ["build", "ready"])
def test_a_file_gives_a_module_or_a_function_that_makes_one(net: Path, name: str) -> None:
    assert isinstance(load_network(f"{net}:{name}"), nn.Sequential)


@pytest.mark.parametrize(
    ("model", "words"),
    [("{}:missing", "has no 'missing'"), ("{}:number", "gives a int"), ("other.py:build", "there is no file")],
)
def test_a_wrong_name_is_refused(net: Path, model: str, words: str) -> None:
    with pytest.raises(CommandError, match=words):
        load_network(model.format(net))


@pytest.mark.parametrize("text", ["3", "3x", "axb", "3x32x32"])
def test_a_wrong_input_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="3x32"):
        parsed_input(text)


def test_run_takes_a_network_from_a_file(net: Path, tmp_path: Path, safs: Callable[..., Result]) -> None:
    (tmp_path / "job.yaml").write_text(JOB)

    done = safs("run", str(tmp_path / "job.yaml"), "--model", f"{net}:build", "-o", str(tmp_path / "result"))

    assert done.exit_code == 0, done.output
    assert (tmp_path / "result" / "network.json").exists()
    assert safs("verify", str(tmp_path / "result")).exit_code == 0


@pytest.mark.exhaustive
def test_run_takes_a_network_and_arrays_from_files(net: Path, tmp_path: Path, safs: Callable[..., Result]) -> None:
    own_arrays(tmp_path / "parts.npz")
    (tmp_path / "job.yaml").write_text(JOB.replace("dataset: digits, ", "") + ONE_SHOT)
    files = ("--model", f"{net}:build", "--data", str(tmp_path / "parts.npz"))

    done = safs("run", str(tmp_path / "job.yaml"), *files, "-o", str(tmp_path / "result"))

    assert done.exit_code == 0, done.output
    assert (tmp_path / "result" / "network.json").exists()


def test_submit_takes_a_network_and_arrays_from_files(
    net: Path, tmp_path: Path, safs: Callable[..., Result], api: Any
) -> None:
    own_arrays(tmp_path / "parts.npz")
    files = ("--model", f"{net}:build", "--data", str(tmp_path / "parts.npz"))

    done = safs("submit", *files, "--sparsity", "0.95", "--json", "--url", api.url)

    assert done.exit_code == 0, done.output
    spec = json.loads(done.stdout)["spec"]
    assert spec["model"]["network"].startswith("upload_")
    assert (spec["data"]["dataset"], spec["sparsity"]) == ("upload", 0.95)


def own_arrays(path: Path) -> None:
    """Write images of 8 x 8 pixels and labels of ten classes."""
    images = np.random.default_rng(0).integers(0, 255, (200, 8, 8), dtype=np.uint8)
    np.savez(path, x=images, y=np.arange(200) % 10)


def test_run_converts_weights_of_torch_save(tmp_path: Path, safs: Callable[..., Result]) -> None:
    state = build("mlp", channels=1, classes=3, image_size=8, seed=1).state_dict()
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "best.pth")
    (tmp_path / "job.yaml").write_text(JOB.replace("architecture: mlp", "head: reset, weights: best.pth") + ONE_SHOT)

    done = safs("run", str(tmp_path / "job.yaml"), "--model", "mlp", "-o", str(tmp_path / "result"))

    assert done.exit_code == 0, done.output
    assert "'module.'" in (report := (tmp_path / "result" / "report.json").read_text())
    assert "starts fresh, with 10 classes, not the 3 of the file" in report


def test_run_refuses_a_pickle_that_names_other_classes(tmp_path: Path, safs: Callable[..., Result]) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "whole.pt")
    (tmp_path / "job.yaml").write_text(JOB)

    done = safs("run", str(tmp_path / "job.yaml"), "--weights", str(tmp_path / "whole.pt"), "-o", str(tmp_path / "r"))

    assert done.exit_code != 0
    assert "Save network.state_dict(), not the network itself" in str(done.exception)


@pytest.mark.parametrize("training", [False, True])
def test_a_program_is_converted_with_its_modules(tmp_path: Path, training: bool, safs: Callable[..., Result]) -> None:
    torch.manual_seed(0)
    module, images = Own().train(training), torch.randn(3, 1, 8, 8)
    dynamic = ({0: torch.export.Dim.DYNAMIC},)
    torch.export.save(torch.export.export(module, (images,), dynamic_shapes=dynamic), tmp_path / "net.pt2")

    done = safs("convert", str(tmp_path / "net.pt2"), "-o", str(tmp_path / "network.safetensors"))

    assert done.exit_code == 0, done.output
    document = read_document(tmp_path / "network.safetensors")
    assert {module.kind for module in document.modules} == {"Conv2d", "BatchNorm2d", "Linear"}
    network = rebuild(document, {tensor.path: torch.zeros(tensor.shape) for tensor in document.tensors})
    state = read_state(tmp_path / "network.safetensors", document)
    assert state is not None
    copy_state(state, network)
    network.get_buffer("shift").copy_(module.get_buffer("shift"))
    assert torch.allclose(network.eval()(images), module.eval()(images))


def test_a_program_with_a_fixed_batch_is_refused() -> None:
    program = torch.export.export(Own().eval(), (torch.randn(3, 1, 8, 8),))

    with pytest.raises(SurgeryError, match="fixed batch of 3"):
        captured_from_program(program)
