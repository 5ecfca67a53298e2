"""``python -m cli.lifeline COMMAND ...``: a ``safs`` command that ends when its parent does.

The parent holds the other end of standard input and never writes to it. Its end closes when the parent dies, even by
SIGKILL: then this process asks itself to stop, and after a while takes all that it started down with it.
"""

import os
import signal
import time
from threading import Thread

from cli.main import main

GRACE_S = 20.0


def hold() -> None:
    """Watches standard input from a thread, and gives the command an empty one instead."""
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
    if os.getpgrp() == os.getpid():  # our own group, as `Child` starts us: nobody else is in it
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    hold()
    main()
