"""A fork server with a program of the tests, which imports nothing heavy."""

import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from api.checks.process import ForkServer, TookTooLongError
from api.errors import NotReadyError
from tests.waiting import wait_until

PROGRAM = """
import os, socket, time
from pathlib import Path
from api.checks.fork_server import serve

prepared = []

def answer(body):
    match body.split():
        case [b"processes"]:
            return f"{os.getppid()} {os.getpid()}".encode()
        case [b"prepared"]:
            return b"".join(prepared)
        case [b"die"]:
            os.kill(os.getpid(), 9)
        case [b"exit"]:
            raise SystemExit(0)
        case [b"hang"]:
            while True:
                time.sleep(60)
        case [b"wait", begun, path]:
            Path(begun.decode()).touch()
            while not Path(path.decode()).exists():
                time.sleep(0.01)
            return b"waited"
    return body[::-1]

serve(socket.socket(fileno=os.dup(0)), answer, prepared.append)
"""


@pytest.fixture
def server() -> Iterator[ForkServer]:
    server = ForkServer(["-c", PROGRAM], idle_s=60.0)
    yield server
    server.close()


def _processes(server: ForkServer) -> tuple[int, int]:
    child, fork = server.ask(b"processes", limit_s=60.0).split()
    return int(child), int(fork)


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_each_request_is_answered_in_a_fork_of_one_process(server: ForkServer) -> None:
    (first, one), (second, another) = _processes(server), _processes(server)

    assert first == second == server.pid
    assert len({first, one, another, os.getpid()}) == 4
    wait_until(lambda: _is_gone(one) and _is_gone(another))


def test_long_bodies_and_answers_arrive_whole(server: ForkServer) -> None:
    body = os.urandom(3_000_000)

    assert server.ask(body, limit_s=60.0) == body[::-1]


@pytest.mark.parametrize("death", [b"die", b"exit"])
def test_a_fork_that_ends_without_an_answer_is_an_error_and_harms_no_other(server: ForkServer, death: bytes) -> None:
    before, _ = _processes(server)

    with pytest.raises(NotReadyError, match="ended without an answer") as refused:
        server.ask(death, limit_s=60.0)

    assert not isinstance(refused.value, TookTooLongError)
    assert _processes(server)[0] == before


def test_a_fork_that_takes_too_long_is_ended(server: ForkServer) -> None:
    with pytest.raises(TookTooLongError, match=r"longer than 0\.2 s"):
        server.ask(b"hang", limit_s=0.2)

    forks = Path(f"/proc/{server.pid}/task/{server.pid}/children")
    wait_until(lambda: not forks.read_text())
    assert server.ask(b"next", limit_s=60.0) == b"txen"


def test_a_killed_server_is_started_again(server: ForkServer) -> None:
    before, _ = _processes(server)
    os.kill(before, signal.SIGKILL)

    after, _ = _processes(server)

    assert after != before


def test_requests_do_not_wait_for_each_other(server: ForkServer, tmp_path: Path) -> None:
    begun, path = tmp_path / "begun", tmp_path / "go"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.ask, f"wait {begun} {path}".encode(), limit_s=60.0)
        wait_until(begun.exists)
        quick = server.ask(b"quick", limit_s=60.0)
        path.touch()

        assert (quick, waiting.result()) == (b"kciuq", b"waited")


def test_an_idle_server_ends_and_the_next_request_starts_another() -> None:
    server = ForkServer(["-c", PROGRAM], idle_s=0.0)

    first, _ = _processes(server)
    wait_until(lambda: server.pid is None and _is_gone(first))
    second, _ = _processes(server)

    assert first != second
    server.close()
    assert _is_gone(second)


def test_the_idle_time_counts_from_the_last_request(server: ForkServer, monkeypatch: pytest.MonkeyPatch) -> None:
    _processes(server)
    timer = server._timer
    assert timer is not None
    assert (timer.interval, timer.daemon) == (60.0, True)

    _processes(server)

    assert timer.finished.is_set()  # cancelled
    assert server._timer is not timer


def test_the_server_ends_when_its_client_is_gone(server: ForkServer) -> None:
    pid, _ = _processes(server)
    assert server._child is not None

    server._child._control.close()  # as the death of the client does

    assert server._child.process.wait(60.0) == 0
    assert _is_gone(pid)


def test_modules_are_imported_before_the_fork_so_that_the_next_request_has_them(server: ForkServer) -> None:
    server.ask(b"anything", limit_s=60.0, kind=b"v")

    assert server.ask(b"prepared", limit_s=60.0, kind=b"-") == b"v-"


def test_a_program_that_fails_to_start_is_an_error() -> None:
    with pytest.raises(NotReadyError, match="could not be started"):
        ForkServer(["-c", "raise SystemExit(3)"], idle_s=60.0).ask(b"", limit_s=60.0)


def test_a_missing_python_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    with pytest.raises(NotReadyError, match=r"could not be started: .*No such file"):
        ForkServer(["-c", PROGRAM], idle_s=60.0).ask(b"", limit_s=60.0)
