"""The conductor: fixes the order of asks and tells, so that candidates do not depend on which trial was faster."""

from collections import deque

from safs.search.strategy import Strategy
from safs.trials import Candidate, Outcome


class Conductor:
    """Asks a strategy for candidates and tells it their outcomes, in an order that does not depend on timing.

    Outcomes are told in the order of the candidates' numbers. After each tell, the strategy is asked until ``window``
    candidates are asked and not told, or it has no more for now. So candidate n is asked exactly when outcomes
    0 .. n - window are told, and the candidates depend on the strategy, its seed and the window only.

    A serial search is a loop over ``next`` and ``done``::

        while (candidate := conductor.next()) is not None:
            conductor.done(candidate.number, judge(candidate))

    A parallel search runs until ``finished``. All tells and asks happen inside ``advance``, which may take seconds;
    ``done``, and ``next`` while a candidate is ready, return at once. The number of calls of ``advance`` does not
    change the order. A conductor has no locks, so only one thread at a time may call it, such as a helper thread that
    owns it and exchanges messages with the dispatcher by queues.

    Args:
        window: number of candidates in flight, at least 1; see ``window_for``.
    """

    def __init__(self, strategy: Strategy, window: int) -> None:
        assert window >= 1
        self._strategy = strategy
        self._window = window
        self._untold: deque[Candidate] = deque()
        self._ready: deque[Candidate] = deque()
        self._running: set[int] = set()
        self._outcomes: dict[int, Outcome] = {}
        self._may_ask = True

    @property
    def ready(self) -> int:
        """Number of candidates that ``next`` can return without asking the strategy."""
        return len(self._ready)

    @property
    def finished(self) -> bool:
        """True once every candidate is told and the strategy has no more. Only ``advance`` changes it."""
        return not self._may_ask and not self._untold

    def next(self) -> Candidate | None:
        """The next candidate, after an ``advance`` if none is ready. None if finished, or outcomes are awaited."""
        if not self._ready:
            self.advance()
        if not self._ready:
            return None
        candidate = self._ready.popleft()
        self._running.add(candidate.number)
        return candidate

    def done(self, number: int, outcome: Outcome) -> None:
        """Store the outcome of a candidate that ``next`` returned; the next ``advance`` tells the strategy."""
        self._running.remove(number)
        self._outcomes[number] = outcome

    def advance(self) -> None:
        """Do all tells and asks that are possible now."""
        self._fill_window()
        while self._untold and (outcome := self._outcomes.pop(self._untold[0].number, None)) is not None:
            self._strategy.tell(self._untold.popleft(), outcome)
            self._may_ask = True
            self._fill_window()

    def _fill_window(self) -> None:
        # A strategy that had no more is asked again only after a tell. An ask draws random numbers even if it returns
        # None, so the number of asks must not depend on timing.
        while self._may_ask and len(self._untold) < self._window:
            candidate = self._strategy.ask()
            if candidate is None:
                self._may_ask = False
            else:
                self._untold.append(candidate)
                self._ready.append(candidate)


def window_for(slots: int, strategy: Strategy) -> int:
    """Number of candidates to keep in flight for ``slots`` workers.

    With one worker, each candidate is asked once all earlier outcomes are known, as published. If asks are slow, the
    next candidate is asked while the worker is busy. With more workers, up to two candidates wait for a free worker.
    Outcomes are told in order, so a slow trial holds back the outcomes of faster ones after it; the waiting candidates
    keep the other workers busy meanwhile.
    """
    if slots == 1:
        return 2 if strategy.asks_ahead else 1
    return slots + min(slots, 2)
