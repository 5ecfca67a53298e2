"""Asks a strategy in the background, so that a slow ask never leaves a worker without its next candidate."""

from queue import Empty, SimpleQueue
from threading import Thread
from types import TracebackType

from safs.search.conductor import Conductor
from safs.trials import Candidate, Outcome

WAIT_S = 0.1
"""For a candidate, while there is nothing else to do but to see whether the run must end."""
LEAVE_S = 1.0


class AskAhead:
    """Owns a conductor in a thread of its own; candidates come out and outcomes go in by queues.

    Use it as a context manager; the thread ends with it. What the strategy raises, ``next`` raises. A block that is
    left by an error does not wait for an ask that takes long: the ask ends alone, and nobody learns what it gave.
    """

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor
        self._outcomes: SimpleQueue[tuple[int, Outcome] | None] = SimpleQueue()
        self._candidates: SimpleQueue[Candidate | Exception | None] = SimpleQueue()
        self._awaited = 0
        self._thread = Thread(target=self._work, name="ask-ahead", daemon=True)
        self.finished = False
        """Whether every candidate was handed out and told."""

    def __enter__(self) -> "AskAhead":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._outcomes.put(None)
        self._thread.join(None if error is None else LEAVE_S)

    def next(self) -> Candidate | None:
        """A candidate that is ready, or None; waits, ``WAIT_S`` at most, only while no outcome is awaited."""
        if self.finished:
            return None
        try:
            found = self._candidates.get(block=self._awaited == 0, timeout=WAIT_S)
        except Empty:
            return None
        if isinstance(found, Exception):
            raise found
        if found is None:
            self.finished = True
        else:
            self._awaited += 1
        return found

    def done(self, number: int, outcome: Outcome) -> None:
        """Takes the outcome of the candidate with this number."""
        self._awaited -= 1
        self._outcomes.put((number, outcome))

    def _work(self) -> None:
        try:
            self._advance()
            while not self._conductor.finished:
                told = self._outcomes.get()
                if told is None:
                    return
                self._conductor.done(*told)
                self._advance()
            self._candidates.put(None)
        except Exception as error:
            self._candidates.put(error)

    def _advance(self) -> None:
        self._conductor.advance()
        while self._conductor.ready and (candidate := self._conductor.next()) is not None:
            self._candidates.put(candidate)
