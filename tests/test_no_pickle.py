"""No package turns the content of a file into code: the syntax trees of all modules are searched.

``ALLOWED`` lists the exceptions with their reasons. Libraries are not searched: torchvision opens CIFAR's pickles once
their MD5 is the published one, and Ray sends pickles between processes that share its token.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("safs", "store", "api", "workers", "cli", "search_spaces", "migrations")
MODULES = {"pickle", "_pickle", "cloudpickle", "ray.cloudpickle", "marshal", "shelve", "dill", "joblib", "jsonpickle"}
CALLS = {
    "torch.load",
    "torch.jit.load",
    "torch.export.load",
    "sympy.sympify",
    "torch.package.PackageImporter",
    "torch.hub.load",
    "pandas.read_pickle",
    "numpy.lib.npyio.NpzFile",
    "yaml.unsafe_load",
    "yaml.full_load",
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
}
PICKLED_UNLESS_REFUSED = {"numpy.load", "numpy.lib.format.read_array"}
YAML = {"yaml.load", "yaml.load_all"}
SAFE_LOADERS = {"yaml.SafeLoader", "yaml.CSafeLoader"}

ALLOWED = {
    ("safs/graphs.py", "exec"): "code that torch.fx generated for a graph of ours",
    ("safs/graphs.py", "compile"): "the same code",
    ("safs/client/checkpoints.py", "torch.load"): "the client, on the user's own machine, with weights_only",
    ("cli/program_file.py", "torch.export.load"): "safs convert, on the user's own machine",
}


def found_in(source: str) -> Iterator[str]:
    """The dotted names in ``source`` that could run the content of a file: imported, called or passed on."""
    tree = ast.parse(source)
    names = dict(_imported(tree))
    for name in names.values():
        yield from _modules_in(name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from _call(node, names)
        elif isinstance(node, ast.Attribute | ast.Name):
            name = _dotted(node, names)
            yield from _modules_in(name)
            if name in CALLS - {"compile"}:
                yield name


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Local name -> the dotted name that it stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (
                    alias.asname or alias.name.partition(".")[0],
                    alias.name if alias.asname else alias.name.partition(".")[0],
                )
                yield f"import {alias.name}", alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield f"import {node.module}", node.module
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _dotted(node: ast.expr, names: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute) and (inner := _dotted(node.value, names)):
        return f"{inner}.{node.attr}"
    return ""


def _call(node: ast.Call, names: dict[str, str]) -> Iterator[str]:
    name = _dotted(node.func, names)
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    if name == "compile":
        yield name
    if name in PICKLED_UNLESS_REFUSED and not _is(given.get("allow_pickle"), False):
        yield f"{name} without allow_pickle=False"
    loader = given.get("Loader", node.args[1] if len(node.args) > 1 else None)
    if name in YAML and (loader is None or _dotted(loader, names) not in SAFE_LOADERS):
        yield f"{name} without a safe loader"
    if _is(given.get("shell"), True):
        yield f"{name} with shell=True"


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _modules_in(name: str) -> Iterator[str]:
    """The members of ``MODULES`` that a dotted name is, or belongs to."""
    return (module for module in MODULES if name == module or name.startswith(f"{module}."))


def test_no_package_runs_the_content_of_a_file_except_in_allowed_places() -> None:
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]

    found = {(str(path.relative_to(ROOT)), what) for path in files for what in found_in(path.read_text())}

    assert len(files) > 200
    assert found == set(ALLOWED)


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import pickle", "pickle"),
        ("def f():\n    from pickle import loads", "pickle"),
        ("import ray\nray.cloudpickle.load(file)", "ray.cloudpickle"),
        ("from ray import cloudpickle as c", "ray.cloudpickle"),
        ("import torch\ntorch.load(path, weights_only=True)", "torch.load"),
        ("from torch import load as read\nread(path)", "torch.load"),
        ("import torch as t\nreader = t.load", "torch.load"),
        ("import numpy as np\nnp.load(path)", "numpy.load without allow_pickle=False"),
        ("import numpy as np\nnp.load(path, allow_pickle=True)", "numpy.load without allow_pickle=False"),
        ("from numpy import load\nload(path)", "numpy.load without allow_pickle=False"),
        ("import yaml\nyaml.load(text, Loader=yaml.Loader)", "yaml.load without a safe loader"),
        ("import yaml\nyaml.load(text)", "yaml.load without a safe loader"),
        ("eval(text)", "eval"),
        ("run = exec", "exec"),
        ("import subprocess\nsubprocess.run(text, shell=True)", "subprocess.run with shell=True"),
        ("import joblib\njoblib.load(path)", "joblib"),
        ("import shelve", "shelve"),
    ],
)
def test_forbidden_code_is_found(source: str, what: str) -> None:
    assert any(found.startswith(what) for found in found_in(source))


@pytest.mark.parametrize(
    "source",
    [
        "import numpy as np\nnp.load(path, allow_pickle=False)",
        "import yaml\nyaml.safe_load(text)\nyaml.load(text, Loader=yaml.SafeLoader)",
        "import pickletools",
        "model.eval()",
        "import re\nre.compile(text)",
        "from safetensors.torch import load",
    ],
)
def test_harmless_code_is_not_found(source: str) -> None:
    assert list(found_in(source)) == []
