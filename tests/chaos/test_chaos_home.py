"""A soak refuses a folder of another version of the program."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.resume.attempts import ROOT


@pytest.mark.exhaustive  # It starts a service, for `make chaos` alone.
def test_a_folder_of_another_version_is_refused_and_the_error_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "version").write_text("another")

    command = [sys.executable, "-m", "tests.chaos", "--kills", "1", "--home", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "another version" in done.stderr
    assert "--home" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["version"]
