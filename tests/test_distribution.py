"""The distribution without the extra ``server``: the client and the commands that talk to a service."""

import json
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
HIDES_AND_RUNS = """
import json, sys
hidden = set(json.loads(sys.argv.pop(1)))
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
code = sys.argv.pop(1)
exec(code)
"""
MAIN = "import cli.main; cli.main.main()"


def hidden() -> list[str]:
    """The top-level modules of the packages that only the extra ``server`` requires."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    server = {canonicalize_name(Requirement(each).name) for each in project["optional-dependencies"]["server"]}
    return [
        module
        for module, distributions in packages_distributions().items()
        if server & {canonicalize_name(name) for name in distributions}
    ]


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", HIDES_AND_RUNS, json.dumps(hidden()), code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)


def test_the_extra_is_what_is_large() -> None:
    assert {"torch", "ray", "numpy", "fastapi", "sqlalchemy", "matplotlib", "smac"} <= set(hidden())


@pytest.mark.parametrize(
    "modules",
    [
        "safs.client, safs.events.kinds, safs.spec.job, safs.report",
        "cli.follow, cli.tables, cli.spec_file, cli.progress_bars",
    ],
)
def test_the_client_and_its_commands_import_nothing_of_the_server(modules: str) -> None:
    done = run(f"import {modules}")

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("submit", "--model", "mlp"),
        *(
            pytest.param(command, marks=pytest.mark.exhaustive)
            for command in (("jobs",), ("catalog",), ("show", "job_1"), ("watch", "job_1"))
        ),
    ],
)
def test_commands_that_talk_to_a_service_get_as_far_as_its_address(command: tuple[str, ...]) -> None:
    done = run(MAIN, *command, "--url", "http://127.0.0.1:9")

    assert done.stderr.startswith("error: no answer from http://127.0.0.1:9")


def test_a_command_of_the_server_names_the_extra() -> None:
    done = run(MAIN, "verify", "result")

    assert done.returncode == 1
    assert "needs the packages of the server" in done.stderr
    assert "pip install 'safs-service[server]'" in done.stderr
