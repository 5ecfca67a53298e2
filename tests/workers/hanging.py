"""Ways to hang, and a worker for each. Ray's workers import this module, and it imports nothing that takes long."""

import ctypes
import os
import signal
import time
from pathlib import Path
from typing import NoReturn

WAYS = STARTING, LOCKED, STOPPED = "starting", "holding Python's lock", "stopped"
_FOREVER_S = 10**6


class HangingActor:
    """An actor that hangs in the first way that no other has taken; the file of that way in ``folder`` has its id."""

    def __init__(self, folder: Path) -> None:
        self._way = next(way for way in WAYS if take(folder / way))
        if self._way == STARTING:
            time.sleep(_FOREVER_S)

    def ready(self) -> None:
        """Return once the actor has started."""

    def step(self, order: object) -> NoReturn:
        """Hang."""
        hang(self._way)


def state(pid: int) -> str:
    """Return the letter of the process's state in /proc, such as T for stopped; an empty string if it has ended."""
    try:
        letter = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return letter.replace("Z", "")  # A zombie has ended; its parent has not collected it yet.


def hang(way: str) -> NoReturn:
    """Hang in this way, and ignore every signal that can be ignored."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    if way == STOPPED:
        os.kill(os.getpid(), signal.SIGSTOP)
    ctypes.PyDLL(None).sleep(_FOREVER_S)  # PyDLL keeps the GIL, so no other thread of this process runs.
    raise AssertionError("unreachable")


def take(way: Path) -> bool:
    """Create the file with this process's id and return True; return False if it exists."""
    try:
        with way.open("x") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        return False
    return True
