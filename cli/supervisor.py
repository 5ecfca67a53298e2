"""The API and one runner as child processes: started, watched and stopped together."""

import errno
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Self

import httpx

from cli.child_process import Child
from cli.errors import CommandError
from cli.start_progress import PATIENCE_S, StartProgress, Work, work_of
from cli.terminal import SafeConsole, stdout, styled

READY = "the service is ready at"
"""Start of the line that ``safs up`` prints once jobs can be submitted."""
TELL_EVERY_S = 30.0
"""Seconds between two lines that say that the service is still starting."""
GRACE_S = 15.0
"""Seconds that the runner may take to put its job back into the queue."""
RUNNER_READY = "ready: runner"
_LOOK_EVERY_S = 0.2


class Service:
    """A running service.

    Args:
        url: address of its API.
        children: its processes, the runner last: the last one is stopped first.
    """

    def __init__(self, url: str, children: list[Child], console: SafeConsole) -> None:
        self.url = url
        self._children = children
        self._console = console
        self._stopping = Event()

    @classmethod
    def start(cls, host: str, port: int, home: Path) -> Self:
        """Migrates the database and starts both processes.

        Raises:
            PermissionError: ``host`` is reachable from other machines, and no API key exists.
            CommandError: the port is taken.
        """
        from api.settings import ApiSettings
        from migrations import upgrade
        from store.settings import StoreSettings

        ApiSettings(home=home, host=host).refuse_open_network()
        check_port(host, port)
        upgrade(StoreSettings(home=home).database_url)
        console, logs = stdout(survives=True), home / "logs"
        # The children write to pipes; people read their logs all the same.
        environment = {"SAFS_HOME": str(home), "SAFS_LOG_FORMAT": os.environ.get("SAFS_LOG_FORMAT") or "text"}
        api = Child(
            "api",
            ["api", "--host", host, "--port", str(port)],
            log=logs / "api.log",
            environment=environment,
            echo=_prefixed(console, "api", "cyan"),
        )
        runner = Child(
            "runner",
            ["worker"],
            log=logs / "runner.log",
            environment=environment,
            ready=RUNNER_READY,
            echo=_prefixed(console, "runner", "magenta"),
        )
        return cls(f"http://{_reachable(host)}:{port}", [api, runner], console)

    def run_until_stopped(self) -> None:
        """Prints when the service is ready, and watches it until SIGINT, SIGTERM or a closed terminal.

        Raises:
            CommandError: a process died, or its start made no progress.
        """
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGTERM, self._stop)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
            signal.signal(signal.SIGHUP, self._stop)
        try:
            if self._wait_until_ready():
                self._greet()
            while not self._stopping.wait(_LOOK_EVERY_S):
                self._check_alive()
        finally:
            self._console.print("stopping the service", style="dim")
            for child in reversed(self._children):
                child.stop(GRACE_S)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping.set()

    def _wait_until_ready(self) -> bool:
        """Returns True once both processes are ready; False if the user stopped the service before."""
        began_s = told_s = time.monotonic()
        progress, runner = StartProgress(began_s), self._children[-1]
        while not (runner.is_ready and _answers(self.url)):
            if self._stopping.wait(_LOOK_EVERY_S):
                return False
            self._check_alive()
            now_s, work = time.monotonic(), work_of(child.pid for child in self._children)
            waiting_for = self._children[0] if runner.is_ready else runner
            if progress.is_stuck(now_s, work_s=work.total_s, lines=sum(child.lines for child in self._children)):
                raise CommandError(_with_log(waiting_for, f"is stuck: no progress for {PATIENCE_S:.0f} s"))
            if now_s - told_s >= TELL_EVERY_S:
                told_s = now_s
                self._console.print(_still_starting(waiting_for, now_s - began_s, work), soft_wrap=True)
        return True

    def _check_alive(self) -> None:
        for child in self._children:
            if child.exit_code is not None:
                raise CommandError(_with_log(child, f"ended with exit code {child.exit_code}"))

    def _greet(self) -> None:
        option = "" if self.url == "http://127.0.0.1:8000" else f" --url {self.url}"
        lines = [
            f"{READY} {self.url} (pages for browsers; API documentation: {self.url}/docs)",
            "in another terminal:",
            f"  safs submit --model lenet5 --dataset digits --sparsity 0.99 --preset quick --follow{option}",
            f"  safs jobs{option}",
            "Ctrl-C stops the service; unfinished jobs continue at the next `safs up`",
        ]
        for line in lines:
            self._console.print(line, style="green", soft_wrap=True)


def free_port() -> int:
    """A free port of this machine's loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def check_port(host: str, port: int) -> None:
    """Checks that a server can listen on the address.

    Raises:
        CommandError: the port is in use, or the address is not one of this machine's.
    """
    try:
        families = {found[0] for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
        family = socket.AF_INET if socket.AF_INET in families else socket.AF_INET6
        with socket.create_server((host, port), family=family):
            return
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise CommandError(f"cannot listen on {host}:{port}: {error.strerror}.") from error
        raise CommandError(
            f"port {port} of {host} is in use. If a service runs there, `safs jobs --url http://{host}:{port}` lists "
            "its jobs. Choose another port with --port."
        ) from error


def _still_starting(child: Child, took_s: float, work: Work) -> str:
    return (
        f"still starting after {took_s:.0f} s: the {child.name} is not ready. The service ran for {work.cpu_s:.0f} s "
        f"and waited {work.waited_s:.0f} s for a core of this machine."
    )


def _reachable(host: str) -> str:
    """The host to connect to: loopback for a service that listens on all interfaces."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2.0, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _prefixed(console: SafeConsole, name: str, style: str) -> Callable[[str], None]:
    def show(line: str) -> None:
        console.print(styled(f"{name:<6} | ", style) + styled(line), soft_wrap=True)

    return show


def _with_log(child: Child, what: str) -> str:
    tail = "\n".join(f"  {line}" for line in child.tail())
    return f"the {child.name} {what}. The end of its log, {child.log}:\n{tail}"
