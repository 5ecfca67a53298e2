"""network.py: formatted, self-contained, and equal for every operator and every kind of network."""

import ast
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import safs
from safs.activations.operators import OPERATORS
from safs.checkpoint import open_result
from safs.deploy.torch_graph import traced
from safs.deploy.torch_names import constructor, function_call, literal, method_call
from safs.deploy.torch_source import GeneratedNetwork, expression, generate
from safs.errors import ExportError
from safs.models.form import Form, InputSelection
from safs.networks import Blueprint
from tests.deploy.results import LENET, write_result

PIXELS = tuple(range(0, 196, 3))
NETWORKS = {
    "resnet18": Blueprint("resnet18", 3, 16, 5),
    "narrow": Blueprint(
        "lenet5",
        1,
        28,
        10,
        Form({"conv1.weight": (4, 1, 5, 5), "conv1.bias": (4,), "conv2.weight": (16, 4, 5, 5)}),
    ),
    "selected pixels": Blueprint(
        "mlp", 1, 14, 10, Form({"hidden.0.linear.weight": (256, len(PIXELS))}, InputSelection("pixel", PIXELS))
    ),
    "tied": Blueprint("resnet18", 3, 16, 5, Form(shared={"layer1.1.conv1.weight": "layer1.0.conv2.weight"})),
}
MANY = {
    name: Blueprint(f"torchvision/{name}", 3, 64, 5)
    for name in ("mobilenet_v3_small", "densenet121", "googlenet", "shufflenet_v2_x0_5", "regnet_x_400mf", "vit_b_16")
}


def generated(folder: Path) -> GeneratedNetwork:
    opened = open_result(folder)
    blueprint = opened.network.blueprint
    return generate(traced(opened.model), blueprint, blueprint.form.inputs)


def check(folder: Path, out: Path) -> str:
    """Assert that the generated network of a result is formatted and computes the same; return its source."""
    code = generated(folder)
    program = out / "network.py"
    program.write_text(code.source)
    save_file({name: tensor.detach().clone() for name, tensor in code.state.items()}, out / "weights.safetensors")
    network = runpy.run_path(str(program))["load"](out / "weights.safetensors")
    blueprint = open_result(folder).network.blueprint
    shape = (2, blueprint.channels, blueprint.image_size, blueprint.image_size)
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(network(images), safs.load(folder)(images), rtol=1e-5, atol=1e-6)
    ruff = [sys.executable, "-m", "ruff"]
    subprocess.run([*ruff, "format", "--check", "--isolated", "--line-length=120", str(program)], check=True)
    subprocess.run(
        [*ruff, "check", "--isolated", "--select=E,F,I,N,RET", "--ignore=N812", "--line-length=120", str(program)],
        check=True,
    )
    return code.source


@pytest.mark.parametrize("first", range(0, 15, 4))
def test_every_operator_becomes_plain_code(tmp_path: Path, first: int) -> None:
    operators = list(OPERATORS)[first : first + 4]

    check(write_result(tmp_path / "result", operators=operators), tmp_path)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_kind_of_network_becomes_plain_code(tmp_path: Path, name: str) -> None:
    check(write_result(tmp_path / "result", NETWORKS[name]), tmp_path)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", MANY)
def test_networks_of_torchvision_become_plain_code(tmp_path: Path, name: str) -> None:
    blueprint = MANY[name]
    size = {"vit_b_16": 224}.get(name, blueprint.image_size)

    check(write_result(tmp_path / "result", Blueprint(blueprint.architecture, 3, size, 5)), tmp_path)


def test_the_source_reads_like_code_that_a_person_writes(tmp_path: Path) -> None:
    source = generated(write_result(tmp_path)).source

    assert '        self.place("fc3", nn.Linear(in_features=84, out_features=10, bias=True))' in source
    assert "        x = swish(x, 0.800000011920929, 0.949999988079071)\n        x = self.pool1(x)\n" in source
    assert "        return self.fc3(x)\n" in source


def test_the_source_imports_torch_and_safetensors_alone(tmp_path: Path) -> None:
    tree = ast.parse(generated(write_result(tmp_path, operators=["symexp", "srs"])).source)

    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"math", "pathlib", "torch", "safetensors.torch"}


def test_a_function_that_is_not_torchs_is_refused_by_name() -> None:
    with pytest.raises(ExportError, match=r"calls subprocess\.run, which is no function of torch"):
        function_call(subprocess.run, ["x"], {})


@pytest.mark.parametrize("name", ["__class__", "_version", "nonsense", "a.b", "x); import os; (x"])
def test_a_method_that_tensors_do_not_have_is_refused(name: str) -> None:
    with pytest.raises(ExportError, match="which tensors do not have"):
        method_call(name, ["x"], {})


@pytest.mark.parametrize("path", ["a b", "layer.x()", 'conv"1', "a..b", ""])
def test_a_member_whose_name_is_no_identifier_is_refused(path: str) -> None:
    with pytest.raises(ExportError, match="cannot be written as code"):
        expression(path)


def test_a_layer_of_another_package_is_refused() -> None:
    class Linear(torch.nn.Linear):
        pass

    with pytest.raises(ExportError, match=r"'fc' is a Linear, which is not a layer of torch\.nn"):
        constructor(Linear(1, 1), "fc")


def test_a_layer_that_prints_something_else_than_literals_is_refused() -> None:
    class Module(torch.nn.Tanh):
        def extra_repr(self) -> str:
            return "__import__('os')"

    Module.__name__ = "Tanh"
    module = torch.nn.Tanh()
    module.extra_repr = lambda: "__import__('os')"  # type: ignore[method-assign]

    with pytest.raises(ExportError, match="cannot be written as code"):
        constructor(module, "tanh")


def test_a_value_that_is_no_literal_is_refused() -> None:
    with pytest.raises(ExportError, match="type object"):
        literal(object())
    assert literal([1.5, float("inf"), "a", (2,), torch.float32]) == '[1.5, float("inf"), "a", (2,), torch.float32]'


def test_lenet_has_a_form_of_its_own() -> None:
    assert LENET.form == Form()
