"""A working directory may hold a cli.py, an api/ or a numpy.py of the user's own.

``tests/cli/commands/test_up.py`` starts a whole service in such a folder.
"""

from pathlib import Path

import pytest

from api.checks.checker import PROGRAM, Checker
from api.checks.process import ForkServer
from cli.child_process import Child
from safs.spec.job import JobSpec
from tests.planted import imported, plant
from tests.waiting import wait_until


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    folder = plant(tmp_path / "folder")
    monkeypatch.chdir(folder)
    return folder


def test_a_child_of_safs_imports_none_of_the_users_files(folder: Path, tmp_path: Path) -> None:
    child = Child("jobs", ["jobs", "--url", "http://127.0.0.1:9"], log=tmp_path / "log", environment={})

    wait_until(lambda: child.exit_code is not None)
    child.stop(grace_s=1)

    assert child.tail()[0].startswith("error: no answer from http://127.0.0.1:9")
    assert imported(folder) == []


def test_a_check_with_its_estimate_imports_none_of_the_users_files(folder: Path) -> None:
    spec = JobSpec.model_validate({"model": {"architecture": "mlp"}, "data": {"dataset": "digits"}, "sparsity": 0.9})

    checker = Checker(ForkServer(PROGRAM, idle_s=600.0), estimate_limit_s=250.0)

    found = checker.check(spec, data_root=None, weights=None, upload=None, preview=False)
    made = checker.estimate(spec, found)
    checker.close()

    assert made["untimed"] is None
    assert imported(folder) == []
