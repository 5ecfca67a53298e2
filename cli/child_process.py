"""Child processes that are watched, logged, stopped in order, and never outlive their parent."""

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event, Thread
from typing import IO

TAIL_LINES = 40
"""Last lines of its output that a child keeps."""


class Child:
    """A ``safs`` command in a process of its own.

    The child has a session of its own, so that Ctrl-C reaches only the parent, which then stops its children in order.
    ``cli.lifeline`` ends the child when the parent dies, even by SIGKILL. The working directory is not on the child's
    import path: a user's ``cli.py`` there is not the package ``cli``.

    Args:
        name: label of the child in messages.
        arguments: arguments of ``safs``, such as ``["api", "--port", "8000"]``.
        log: file to which the output is appended.
        environment: variables that are added to this process's environment.
        ready: text of the output line that says that the child is ready; None if there is no such line.
        echo: called with each line of the output, from another thread. If it raises, it is not called again.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str],
        ready: str | None = None,
        echo: Callable[[str], None] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._ready_line, self._echo = ready, echo
        self.lines = 0
        """Number of lines of output so far."""
        self._is_ready = Event()
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        log.parent.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cli.lifeline", *arguments],
            stdin=subprocess.PIPE,  # the lifeline
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._reader = Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    @property
    def is_ready(self) -> bool:
        """True if the child has printed its ``ready`` line."""
        return self._is_ready.is_set()

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Exit code of the child; None while it runs."""
        return self._process.poll()

    def tail(self) -> list[str]:
        """The last lines of the output."""
        if self.exit_code is not None:
            self._reader.join(timeout=1.0)
        return list(self._tail)

    def stop(self, grace_s: float) -> None:
        """Ends the child by SIGTERM; after ``grace_s``, kills the child and all processes that it started."""
        if self.exit_code is None:
            self._process.terminate()
            try:
                self._process.wait(grace_s)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._reader.join(timeout=1.0)

    def _read(self, output: IO[bytes]) -> None:
        with output, self.log.open("ab", buffering=0) as file:
            for raw in output:
                file.write(raw)
                line = raw.decode(errors="replace").rstrip()
                self._tail.append(line)
                self.lines += 1
                if self._ready_line is not None and self._ready_line in line:
                    self._is_ready.set()
                self._pass_on(line)

    def _pass_on(self, line: str) -> None:
        """Calls ``echo``. If that fails, the output is still read: a child that writes to a full pipe would hang."""
        if self._echo is None:
            return
        try:
            self._echo(line)
        except OSError:
            self._echo = None
