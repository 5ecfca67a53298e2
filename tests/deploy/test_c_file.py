"""network.c: compiled by gcc, and equal for every operator and every kind of network that it takes."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import safs
from safs.activations.operators import OPERATORS
from safs.activations.surgery import SingleInputModel, rewire
from safs.checkpoint import open_result
from safs.deploy import c_file
from safs.deploy.c_operators import activation_statement
from safs.deploy.equality import TOLERANCE
from safs.deploy.export import export
from safs.deploy.torch_graph import traced
from safs.errors import ExportError
from tests.deploy.results import write_result
from tests.deploy.test_torch_file import NETWORKS


@pytest.mark.parametrize("first", range(0, 15, 4))
def test_every_operator_is_the_same_in_c(tmp_path: Path, first: int) -> None:
    folder = write_result(tmp_path / "result", operators=list(OPERATORS)[first : first + 4])

    assert export(folder, "c", tmp_path / "out").equality.relative_difference < 1e-5


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name == "narrow" else pytest.mark.exhaustive) for name in NETWORKS],
)
def test_every_kind_of_network_is_the_same_in_c(tmp_path: Path, name: str) -> None:
    folder = write_result(tmp_path / "result", NETWORKS[name], ("swish", "relu"), 0.99, "erk")

    assert export(folder, "c", tmp_path / "out").equality.relative_difference < 1e-5


def test_layers_of_every_setting_are_the_same_in_c(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(2, 6, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=3),
        nn.LeakyReLU(0.2),
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.Conv2d(6, 4, (1, 3), stride=(1, 2), padding=(0, 1)),
        nn.AvgPool2d(2, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),
        nn.BatchNorm1d(5),
        nn.Sigmoid(),
    )
    model = rewire(layers.eval(), kind=SingleInputModel).eval().requires_grad_(False)
    images = torch.randn(3, 2, 20, 18)

    actual = c_file.write(tmp_path / "network.c", traced(model), images, None)

    assert (actual - model(images)).abs().max() < TOLERANCE * model(images).abs().max()


def test_the_file_compiles_without_warnings_by_the_command_in_the_docs(tmp_path: Path) -> None:
    folder = write_result(tmp_path / "result")
    export(folder, "c", tmp_path)
    text = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
    command = "cc -std=c11 -O3 -DSAFS_MAIN -o network network.c -lm && ./network < images.bin > logits.bin"
    assert command in text
    images = torch.randn(2, 1, 28, 28)
    (tmp_path / "images.bin").write_bytes(images.numpy().tobytes())

    subprocess.run(command.replace("-O3", "-O3 -Wall -Wextra -Werror"), shell=True, cwd=tmp_path, check=True)

    logits = np.fromfile(tmp_path / "logits.bin", np.float32).reshape(2, 10)
    assert np.allclose(logits, safs.load(folder)(images).detach().numpy(), atol=1e-5)


def test_zeros_are_not_in_the_file(tmp_path: Path) -> None:
    sizes = [
        len(c_file.source_of(traced(open_result(folder).model), torch.randn(1, 1, 28, 28), None))
        for sparsity in (0.9, 0.99)
        if (folder := write_result(tmp_path / str(sparsity), sparsity=sparsity))
    ]

    assert sizes[1] < 0.25 * sizes[0]


def test_a_network_that_calls_something_else_is_refused_by_name(tmp_path: Path) -> None:
    model = rewire(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Softmax(1)).eval(), kind=SingleInputModel).eval()

    with pytest.raises(ExportError, match="calls Softmax, which the format c does not know"):
        c_file.source_of(traced(model), torch.randn(1, 1, 5, 5), None)


def test_an_operator_without_a_form_in_c_is_refused() -> None:
    model = rewire(nn.Sequential(nn.CELU(0.5)), kind=SingleInputModel)

    with pytest.raises(ExportError, match=r"'celu\(0\.5\)' has no form in C"):
        activation_statement(next(iter(model.activations.values())))


def test_a_missing_compiler_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)

    with pytest.raises(ExportError, match="neither cc nor gcc is installed"):
        export(write_result(tmp_path / "result"), "c", tmp_path / "out")
