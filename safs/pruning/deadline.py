"""Runs foreign code that may never end, and ends it."""

import ctypes
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
CHECK_EVERY_S = 0.05
WAITING = 5
"""Wall time for a second of CPU time: a busy machine slows the work down, but does not make it end otherwise."""
GRACE_S = 5.0
"""How long a call into C may keep a thread from noticing that it is to end, before it is left to notice later."""


class TimeUp(BaseException):
    """The time is up. Not an ``Exception``: no handler in the foreign code takes it for an ordinary failure."""


def within(limit_s: float, work: Callable[[], T]) -> T:
    """What ``work`` returns or raises, or ``TimeUp`` if it takes more than ``limit_s`` seconds of this process's time.

    ``work`` runs in a thread of its own, in which the interpreter raises ``TimeUp`` between two instructions when the
    time is up. So it must not change anything that others see: it may be stopped anywhere. A thread that sits in C code
    ends as soon as that returns, and is not waited for.
    """
    worker = _Worker(work)
    spent_s, began_s = time.process_time(), time.monotonic()
    worker.start()
    while worker.is_alive():
        if time.process_time() - spent_s > limit_s or time.monotonic() - began_s > WAITING * limit_s:
            return _ended(worker)
        worker.join(CHECK_EVERY_S)
    return worker.result()


def _ended(worker: "_Worker[T]") -> T:
    given_up_s = time.monotonic() + GRACE_S
    while worker.is_alive() and time.monotonic() < given_up_s:
        worker.stop()
        worker.join(CHECK_EVERY_S)
    return worker.result()


class _Worker(threading.Thread, Generic[T]):
    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__(name="within", daemon=True)
        self._work = work
        self._outcome: list[T] = []
        self._failure: BaseException = TimeUp()
        self._ending = threading.Lock()
        self._over = False

    def run(self) -> None:
        try:
            try:
                self._outcome.append(self._work())
            except Exception as error:  # handed to the caller, whatever it is
                self._failure = error
            with self._ending:
                self._over = True
        except TimeUp:
            pass

    def stop(self) -> None:
        """Raises ``TimeUp`` in the thread. The lock keeps it from ending meanwhile: its number may be given anew."""
        with self._ending:
            if not self._over and self.ident is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident), ctypes.py_object(TimeUp))

    def result(self) -> T:
        """What the work came to; ``TimeUp`` if it came to nothing."""
        if self._outcome:
            return self._outcome[0]
        raise self._failure
