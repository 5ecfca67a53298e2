"""docs/using-results.md: the operators as one file, and a result in a module without SAFS."""

import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from safs.activations.operators import OPERATORS
from safs.activations.surgery import find_sites, rewire
from safs.networks import Blueprint

DOCS = Path(__file__).parent.parent / "docs"
TEXT = (DOCS / "using-results.md").read_text()
X = torch.linspace(-30, 30, 601)


@pytest.fixture(scope="module")
def copied() -> Iterator[ModuleType]:
    """The copyable file, imported as a user would."""
    spec = importlib.util.spec_from_file_location("safs_operators", DOCS / "safs_operators.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["safs_operators"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["safs_operators"]


def test_the_file_needs_torch_alone() -> None:
    imports = re.findall(r"^(?:import|from) (\w+)", (DOCS / "safs_operators.py").read_text(), re.MULTILINE)

    assert set(imports) == {"math", "collections", "torch"}


def test_the_file_has_every_operator(copied: ModuleType) -> None:
    assert set(copied.OPERATORS) == set(OPERATORS)


@pytest.mark.parametrize("name", list(OPERATORS))
@pytest.mark.parametrize("start", [1.0, 0.7])
def test_an_operator_of_the_file_has_the_values_of_the_same_operator_here(
    copied: ModuleType, name: str, start: float
) -> None:
    scalars = {scalar: start + 0.1 * position for position, scalar in enumerate(OPERATORS[name].scalars)}

    value = copied.Activation(name, scalars)(X)

    assert torch.allclose(
        value, OPERATORS[name].function(X, *map(torch.tensor, scalars.values())), rtol=1e-5, atol=1e-6
    )


def test_the_loop_of_the_page_rebuilds_the_result_in_a_module_without_safs(
    copied: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "result").mkdir()
    blueprint = Blueprint("lenet5", 1, 28, 10)
    model = blueprint.build(seed=1)
    scalars = {"relu1": {"alpha": 0.8, "beta": 1.7}, "relu2": {"alpha": 1.2, "beta": 0.9}}
    expected = rewire(blueprint.build(seed=1), {"relu1": "swish"}, scalars=scalars).eval()
    save_file(model.state_dict(), "result/checkpoint.safetensors")
    sites = [
        {"path": site.path, "own": site.original, "chosen": "swish" if site.path == "relu1" else site.original}
        | {"scalars": scalars.get(site.path, {"alpha": 1.0, "beta": 1.0})}
        for site in find_sites(model)
    ]
    Path("result/report.json").write_text(json.dumps({"sites": sites}))
    network = blueprint.build(seed=2)

    (loop,) = [code for code in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if "load_file" in code]
    exec(loop, {"network": network})

    images = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(network(images), expected(images), atol=1e-6)


def test_the_block_of_the_page_is_the_network_with_both_calls_replaced(copied: ModuleType) -> None:
    class Original(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.act = nn.Linear(8, 8), nn.Linear(8, 8), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.act(self.second(self.act(self.first(x))))  # type: ignore[no-any-return]

    original = nn.Sequential()
    original.add_module("b1", Original())
    names = {"b1.act": "swish", "b1.act#2": "tanh"}
    scalars = {"b1.act": {"alpha": 1.0, "beta": 1.7}, "b1.act#2": {"alpha": 0.9, "beta": 1.0}}
    expected = rewire(original, names, scalars=scalars).eval()
    assert [site.path for site in find_sites(original)] == list(names)

    (block,) = [code for code in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if "class Block" in code]
    namespace = {"nn": nn, "Activation": copied.Activation}
    exec(block, namespace)
    network = nn.Sequential()
    network.add_module("b1", namespace["Block"]())
    network.load_state_dict(original.state_dict())

    x = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(network(x), expected(x), atol=1e-6)


def test_the_paths_of_the_page_are_those_that_the_program_gives() -> None:
    resnet = [site.path for site in find_sites(Blueprint("torchvision/resnet18", 3, 32, 10).build())]

    assert {"layer1.0.relu", "layer1.0.relu#2"} <= set(resnet)
    assert "relu1" in [site.path for site in find_sites(Blueprint("lenet5", 1, 28, 10).build())]
