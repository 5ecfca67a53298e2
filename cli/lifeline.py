"""``python -m cli.lifeline COMMAND ...``: a ``safs`` command that ends when its parent ends.

The parent holds the write end of standard input and never writes. When the parent dies, even by SIGKILL, the pipe is
closed. This process then sends itself SIGTERM and, after ``GRACE_S``, kills itself and all processes that it started.
"""

import os
import signal
import time
from threading import Thread

from cli.main import main

GRACE_S = 20.0
"""Seconds that the command may take to end after SIGTERM."""


def hold() -> None:
    """Watches standard input from a thread, and gives the command an empty standard input instead."""
    lifeline = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()


def _end_with_parent(lifeline: int) -> None:
    while os.read(lifeline, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    if os.getpgrp() == os.getpid():  # a group of our own, as `Child` starts it
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    hold()
    main()
