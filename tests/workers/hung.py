"""Workers that hang, each in its way; importable by the processes that Ray starts."""

import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Any

from ray import tune

WAYS = ("starting", "holding Python's lock", "stopped")
_FOR_EVER_S = 10**6


class Hung(tune.Trainable):
    """Hangs in the first way that no other has taken; its process id is in a file of that name in ``folder``."""

    def setup(self, config: dict[str, Any], **bound: Any) -> None:
        self._way = next(way for way in WAYS if _takes(Path(bound["folder"]) / way))
        if self._way == "starting":
            time.sleep(_FOR_EVER_S)

    def step(self) -> dict[str, Any]:
        if self._way == "stopped":
            os.kill(os.getpid(), signal.SIGSTOP)
        ctypes.PyDLL(None).sleep(_FOR_EVER_S)  # No other thread of this process runs.
        raise AssertionError("it has slept for ever")


def _takes(way: Path) -> bool:
    try:
        with way.open("x") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        return False
    return True
