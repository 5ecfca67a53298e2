"""A working directory may hold a cli.py, an api/ or a numpy.py of the user's own."""

from pathlib import Path

import pytest

from cli.child_process import Child
from cli.supervisor import READY, free_port
from safs.client import Client
from safs.estimates import estimate_in_subprocess
from safs.preflight import check
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


@pytest.mark.slow
def test_a_whole_service_starts_and_imports_none_of_the_users_files(folder: Path, tmp_path: Path) -> None:
    port = free_port()
    up = Child(
        "up",
        ["up", "--port", str(port), "--home", str(tmp_path / "home")],
        log=tmp_path / "log",
        environment={"SAFS_DATABASE_URL": "", "SAFS_HOST": "127.0.0.1"},
        ready=READY,
    )
    try:
        wait_until(lambda: up.is_ready or up.exit_code is not None)
        with Client(f"http://127.0.0.1:{port}") as client:
            checked = client.check(model={"architecture": "mlp"}, data={"dataset": "digits"}, sparsity=0.9)
    finally:
        up.stop(grace_s=30)

    assert checked["estimate"]["untimed"] is None
    assert imported(folder) == []


def test_an_estimate_imports_none_of_the_users_files(folder: Path) -> None:
    spec = JobSpec.model_validate({"model": {"architecture": "mlp"}, "data": {"dataset": "digits"}, "sparsity": 0.9})

    made = estimate_in_subprocess(spec, check(spec, data_root=None, weights=None), limit_s=250.0)

    assert made.untimed is None
    assert imported(folder) == []
