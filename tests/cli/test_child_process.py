"""Child processes: watched while they run, and gone when they are stopped or their parent is."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.child_process import Child
from tests.waiting import wait_until

HAS_A_CHILD = """
import sys
from pathlib import Path
from cli.child_process import Child
child = Child("jobs", ["jobs", "--url", sys.argv[1]], log=Path(sys.argv[2]), environment={})
sys.stdin.read()
"""


@pytest.fixture
def silent_service() -> Iterator[socket.socket]:
    """A server that accepts connections and never responds, so that a command waits until it is stopped."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield server


def url_of(server: socket.socket) -> str:
    return f"http://127.0.0.1:{server.getsockname()[1]}"


def wait_for_end_of(connection: socket.socket) -> None:
    """Return when the process at the other end has ended; fail after the connection's timeout."""
    with connection:
        connection.settimeout(60)
        while connection.recv(4096):
            pass


def test_a_child_that_ends_leaves_its_exit_code_its_last_lines_and_its_log(tmp_path: Path) -> None:
    received: list[str] = []
    command = ["submit", "--spec", "/nowhere"]
    child = Child("submit", command, log=tmp_path / "logs" / "child.log", environment={}, echo=received.append)

    wait_until(lambda: child.exit_code is not None)
    child.stop(grace_s=1)

    expected = ["error: cannot read the job spec /nowhere: No such file or directory"]
    assert child.exit_code == 1
    assert not child.is_ready
    log = (tmp_path / "logs" / "child.log").read_text().splitlines()
    assert (child.tail(), received, log) == (expected, expected, expected)


def test_a_child_is_stopped_while_it_is_busy(silent_service: socket.socket, tmp_path: Path) -> None:
    child = Child("jobs", ["jobs", "--url", url_of(silent_service)], log=tmp_path / "log", environment={})
    connection, _ = silent_service.accept()

    child.stop(grace_s=30)

    assert child.exit_code == -15
    wait_for_end_of(connection)


def test_a_parent_that_is_killed_takes_its_child_with_it(silent_service: socket.socket, tmp_path: Path) -> None:
    arguments = [url_of(silent_service), str(tmp_path / "log")]
    with subprocess.Popen([sys.executable, "-c", HAS_A_CHILD, *arguments], stdin=subprocess.PIPE) as parent:
        connection, _ = silent_service.accept()

        parent.kill()

    wait_for_end_of(connection)
