"""Asks a strategy in a background thread, so that no worker waits for a slow ask."""

from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from types import TracebackType

from safs.search.conductor import Conductor
from safs.trials import Candidate, Outcome

WAIT_S = 0.1
"""Longest wait for a candidate in seconds. Between two waits, the caller checks whether the run must end."""
JOIN_TIMEOUT_S = 1.0
"""Longest wait for the thread, in seconds, if the block ended with an error."""


@dataclass(frozen=True, slots=True)
class _Waits:
    """The strategy has received ``told`` outcomes, and waits for more before it proposes anything."""

    told: int


class AskAhead:
    """Runs a conductor in a thread of its own; candidates and outcomes pass through queues.

    Use it as a context manager: the thread ends with the block. ``next`` raises what the strategy raised. A block that
    ends with an error does not wait for a slow ask, which then ends by itself; its candidate is dropped.
    """

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor
        self._outcomes: SimpleQueue[tuple[int, Outcome] | None] = SimpleQueue()
        self._candidates: SimpleQueue[Candidate | _Waits | Exception | None] = SimpleQueue()
        self._awaited = self._told = 0
        self._heard = -1
        self._thread = Thread(target=self._run, name="ask-ahead", daemon=True)
        self.finished = False
        """True once the strategy has no more candidates and has received all outcomes."""

    def __enter__(self) -> "AskAhead":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._outcomes.put(None)
        self._thread.join(None if error is None else JOIN_TIMEOUT_S)

    @property
    def waits(self) -> bool:
        """True if the strategy has no more candidates before it receives further outcomes, and all were returned."""
        return self._heard == self._told

    def next(self) -> Candidate | None:
        """Return a candidate that is ready, else None; waits for one, up to ``WAIT_S``, only if no trial is running."""
        if self.finished:
            return None
        try:
            item = self._candidates.get(block=self._awaited == 0, timeout=WAIT_S)
            while isinstance(item, _Waits):
                self._heard = item.told
                item = self._candidates.get(block=self._awaited == 0, timeout=WAIT_S)
        except Empty:
            return None
        if isinstance(item, Exception):
            raise item
        if item is None:
            self.finished = True
        else:
            self._awaited += 1
        return item

    def done(self, number: int, outcome: Outcome) -> None:
        """Pass on the outcome of candidate ``number``."""
        self._awaited -= 1
        self._told += 1
        self._outcomes.put((number, outcome))

    def _run(self) -> None:
        try:
            self._advance()
            told = 0
            while not self._conductor.finished:
                self._candidates.put(_Waits(told))
                item = self._outcomes.get()
                if item is None:
                    return
                self._conductor.done(*item)
                told += 1
                self._advance()
            self._candidates.put(None)
        except Exception as error:
            self._candidates.put(error)

    def _advance(self) -> None:
        self._conductor.advance()
        while self._conductor.ready and (candidate := self._conductor.next()) is not None:
            self._candidates.put(candidate)
