"""Runs foreign code that may never end, and ends it."""

import ctypes
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
CHECK_EVERY_S = 0.05
WAITING = 3
"""Wall time for a second of CPU time: work that waits ends too, and a busy machine does not end work that runs."""
GRACE_S = 5.0
"""How long a call into C may keep a thread from noticing that it is to end, before it is left to notice later."""


class TimeUp(Exception):
    """The time is up."""


def within(limit_s: float, work: Callable[[], T]) -> T:
    """What ``work`` returns or raises, or ``TimeUp`` if it takes more than ``limit_s`` seconds of CPU time.

    ``work`` runs in a thread of its own, in which the interpreter raises ``SystemExit`` between two instructions when
    the time is up. So it must not change anything that others see: it may be stopped anywhere. A thread that sits in C
    code ends as soon as that returns, and is not waited for.
    """
    worker = _Worker(work)
    began_s = time.monotonic()
    worker.start()
    while worker.is_alive():
        if worker.spent_s() > limit_s or time.monotonic() - began_s > WAITING * limit_s:
            worker.stop()
            break
        worker.join(CHECK_EVERY_S)
    return worker.result()


class _Worker(threading.Thread, Generic[T]):
    """The lock is held wherever the thread is named by its number, which is another's once the thread has ended."""

    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__(name="within", daemon=True)
        self._work = work
        self._outcome: list[T] = []
        self._failure: Exception = TimeUp()
        self._ending = threading.Lock()
        self._over = False

    def run(self) -> None:
        try:
            try:
                self._outcome.append(self._work())
            except Exception as error:  # handed to the caller, whatever it is
                self._failure = error
            finally:
                with self._ending:
                    self._over = True
        except SystemExit:  # of ``stop``
            pass

    def spent_s(self) -> float:
        """CPU seconds of this thread; 0 once it is over."""
        with self._ending:
            if self._over or self.ident is None:
                return 0.0
            return time.clock_gettime(time.pthread_getcpuclockid(self.ident))

    def stop(self) -> None:
        """Ends the thread; foreign code that catches everything is told again until it gives in."""
        given_up_s = time.monotonic() + GRACE_S
        while self.is_alive() and time.monotonic() < given_up_s:
            with self._ending:
                if not self._over and self.ident is not None:
                    # SystemExit: no handler of ordinary errors takes it for one.
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident), ctypes.py_object(SystemExit))
            self.join(10 * CHECK_EVERY_S)

    def result(self) -> T:
        """What the work came to; ``TimeUp`` if it came to nothing."""
        if self._outcome:
            return self._outcome[0]
        raise self._failure
