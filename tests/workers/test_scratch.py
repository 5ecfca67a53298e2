"""Temporary folders of runners: one per process, and those of killed runners are deleted."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.resume.attempts import ROOT
from workers.scratch import scratch_folder, sweep

HOLD = """
import sys, tempfile
from workers.scratch import scratch_folder
with scratch_folder() as folder:
    open(tempfile.mkstemp()[1], "w").write("data")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, empty."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_all_temporary_files_of_the_process_are_in_its_folder_and_end_with_it(temporary: Path) -> None:
    with scratch_folder() as folder:
        inside = Path(tempfile.mkdtemp())

        assert inside.parent == folder
        assert folder.parent == temporary

    assert tempfile.gettempdir() == str(temporary)
    assert list(temporary.iterdir()) == []


def test_the_folder_of_a_killed_runner_is_deleted_and_that_of_a_living_one_stays(temporary: Path) -> None:
    environment = os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as runner:
        assert runner.stdout is not None
        folder = Path(runner.stdout.readline().strip())
        sweep()
        while_it_lived = folder.exists()
        runner.send_signal(signal.SIGKILL)
        runner.wait()
    after_its_death = folder.exists()

    sweep()

    assert (while_it_lived, after_its_death) == (True, True)
    assert list(temporary.iterdir()) == []
