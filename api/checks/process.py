"""The fork server as a child process: started with the first request, ended when it has been idle."""

import logging
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock, Timer
from typing import Protocol

from api.checks.fork_server import STARTED
from api.errors import ApiError, NotReadyError

START_S = 120.0
"""Seconds that the server may take to start and to fork: on a busy machine, imports take long."""
SLACK_S = 10.0
"""Seconds beyond the limit of a request after which it is given up here, should its process not end by itself."""
_log = logging.getLogger(__name__)


class TookTooLongError(NotReadyError):
    """The request took longer than its limit, and its process was ended."""


class Process(Protocol):
    """A process that answers requests."""

    def ask(self, body: bytes, *, limit_s: float, kind: bytes = b"-") -> bytes:
        """The answer to ``body``.

        Args:
            limit_s: seconds that the request may take once it has been started.
            kind: one byte that says what the request needs.

        Raises:
            TookTooLongError: the request took longer.
            NotReadyError: no process could be started, or it ended without an answer.
        """

    def close(self) -> None:
        """End the process, if it runs; the next request starts another."""


class ForkServer:
    """A ``Process`` that answers every request in a fork of one child process.

    Args:
        program: arguments of Python that run ``fork_server.serve`` on standard input, a socket.
        idle_s: seconds without a request after which the child process ends.
    """

    def __init__(self, program: Sequence[str], *, idle_s: float) -> None:
        self._program, self._idle_s = program, idle_s
        self._lock = Lock()
        self._child: _Child | None = None
        self._requests = 0
        """Requests that are being answered."""
        self._timer: Timer | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the child, or None while none runs."""
        child = self._child
        return None if child is None or child.has_ended else child.process.pid

    def ask(self, body: bytes, *, limit_s: float, kind: bytes = b"-") -> bytes:
        with self._busy():
            for _ in range(2):  # The child may have been killed since the last request.
                child = self._running()
                if (answer := child.ask(body, limit_s, kind)) is not None:
                    return answer
                self._replace(child)
        raise NotReadyError("the process that checks jobs could not be started; the service's log has its error")

    def close(self) -> None:
        with self._lock:
            self._end()

    @contextmanager
    def _busy(self) -> Iterator[None]:
        with self._lock:
            self._requests += 1
            self._cancel_timer()
        try:
            yield
        finally:
            with self._lock:
                self._requests -= 1
                if not self._requests and self._child is not None:
                    self._timer = Timer(self._idle_s, self._end_if_idle)
                    self._timer.daemon = True
                    self._timer.start()

    def _running(self) -> "_Child":
        with self._lock:
            if self._child is None or self._child.has_ended:
                self._end()
                try:
                    self._child = _Child(self._program)
                except OSError as error:
                    raise NotReadyError(f"the process that checks jobs could not be started: {error}") from error
            return self._child

    def _replace(self, child: "_Child") -> None:
        with self._lock:
            if self._child is child:
                self._end()

    def _end_if_idle(self) -> None:
        with self._lock:
            if not self._requests:
                self._end()

    def _end(self) -> None:
        self._cancel_timer()
        if self._child is not None:
            self._child.end()
            self._child = None

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Child:
    def __init__(self, program: Sequence[str]) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            try:
                self.process = subprocess.Popen(
                    [sys.executable, *program],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C ends the service, which ends this process.
                )
            except OSError:
                self._control.close()
                raise

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def ask(self, body: bytes, limit_s: float, kind: bytes) -> bytes | None:
        """The answer, or None if the process ended before it began with the request."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                try:
                    socket.send_fds(self._control, [kind], [theirs.fileno()])
                except OSError:
                    return None
            try:
                ours.settimeout(START_S)
                if ours.recv(1) != STARTED:
                    return None
                began_s = time.monotonic()
                ours.settimeout(limit_s + SLACK_S)
                ours.sendall(f"{limit_s}\n".encode() + body)
                ours.shutdown(socket.SHUT_WR)
                with ours.makefile("rb") as stream:
                    answer = stream.read()
            except TimeoutError as error:
                self.end()
                raise TookTooLongError("the process that checks jobs did not answer") from error
            except OSError:
                answer = b""
        if answer:
            return answer
        raise _end_without_answer(time.monotonic() - began_s, limit_s)

    def end(self) -> None:
        self._control.close()
        self.process.kill()  # It holds nothing, and forks that still run end by themselves.
        self.process.wait()


def _end_without_answer(took_s: float, limit_s: float) -> ApiError:
    if took_s >= limit_s:
        return TookTooLongError(f"the check took longer than {limit_s:g} s and was stopped")
    _log.error("the process of a check ended without an answer after %.1f s", took_s)
    return NotReadyError(
        "the process that checked the job ended without an answer, perhaps for lack of memory; send the request again"
    )
