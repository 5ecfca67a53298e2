"""Child processes that are watched, logged, stopped cleanly, and never outlive their parent."""

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


class Child:
    """A ``safs`` command in a process of its own.

    It runs in its own session, so that Ctrl-C reaches the parent alone, which then stops its children in order; and
    under ``cli.lifeline``, which ends it when the parent dies, however that dies.

    Args:
        name: what its output is labelled with.
        arguments: of ``safs``, such as ``["api", "--port", "8000"]``.
        log: a file to which all that it prints is appended.
        environment: variables on top of this process's own.
        ready: it is ready once a line that it prints holds this; None if it does not say so.
        echo: called with each line as well, from another thread.
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
        """Whether it has said that it is ready."""
        return self._is_ready.is_set()

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def tail(self) -> list[str]:
        """The last lines that it printed."""
        if self.exit_code is not None:
            self._reader.join(timeout=1.0)
        return list(self._tail)

    def stop(self, grace_s: float) -> None:
        """Ends it: SIGTERM first, and after ``grace_s`` SIGKILL for it and whatever it had started."""
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
                if self._ready_line is not None and self._ready_line in line:
                    self._is_ready.set()
                if self._echo is not None:
                    self._echo(line)
