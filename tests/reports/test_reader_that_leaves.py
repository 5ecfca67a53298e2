"""``safs up | head``: the reader of the output leaves, and the service goes on."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.child_process import Child
from cli.supervisor import free_port
from tests.waiting import is_listening, wait_until


def test_a_child_is_logged_to_its_end_when_its_output_cannot_be_shown(tmp_path: Path) -> None:
    def broken(line: str) -> None:
        raise BrokenPipeError

    child = Child("help", ["--help"], log=tmp_path / "log", environment={}, echo=broken)

    wait_until(lambda: child.exit_code is not None)
    child.stop(grace_s=1)

    assert child.exit_code == 0
    assert "restore" in (tmp_path / "log").read_text()


@pytest.fixture
def hang_up_ends() -> Iterator[None]:
    """SIGHUP as a terminal leaves it. Under nohup it is ignored, also by children."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.slow
@pytest.mark.usefixtures("hang_up_ends")
@pytest.mark.exhaustive  # It starts a whole service, as tests/cli/commands/test_up.py does.
@pytest.mark.parametrize("ending", [signal.SIGHUP, signal.SIGTERM])
def test_a_service_whose_reader_left_keeps_its_logs_and_ends_in_order(ending: signal.Signals, tmp_path: Path) -> None:
    port, home = free_port(), tmp_path / "home"
    command = [sys.executable, "-m", "cli", "up", "--port", str(port), "--home", str(home)]
    environment = os.environ | {"SAFS_DATABASE_URL": "", "SAFS_HOST": "127.0.0.1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as up:
        try:
            assert up.stdout is not None
            up.stdout.readline()
            up.stdout.close()
            wait_until(lambda: "ready: runner" in (home / "logs" / "runner.log").read_text())
            assert is_listening(f"http://127.0.0.1:{port}")

            up.send_signal(ending)

            assert up.wait(timeout=120) == 0
        finally:
            up.kill()
    assert not is_listening(f"http://127.0.0.1:{port}")
