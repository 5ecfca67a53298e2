"""The conductor: fixes the order of asks and tells, so that candidates never depend on which trial was faster."""

from collections import deque

from safs.search.strategy import Strategy
from safs.trials import Candidate, Outcome


class Conductor:
    """Asks a strategy for candidates and tells it their outcomes, in one order whatever the order of completion.

    Tells happen in the order of the candidates' numbers. After each, the strategy is asked until ``window``
    candidates are asked and not told, or it has no more for now. So candidate n is asked exactly when outcomes
    0 .. n - window are told: the candidates depend on the strategy, its seed and the window, never on timing.

    A serial search is a loop over ``next`` and ``done``::

        while (candidate := conductor.next()) is not None:
            conductor.done(candidate.number, judge(candidate))

    A parallel one runs until ``finished``. All tells and asks happen inside ``advance``, which may take long; ``done``
    and a ``next`` that finds a candidate ready only touch a queue. How often ``advance`` is called changes nothing.
    There are no locks: one thread at a time may be inside a conductor, such as a helper thread that owns it and talks
    with the dispatcher by queues.

    Args:
        window: candidates in flight, at least 1; see ``window_for``.
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
        """True once every candidate is told and the strategy has no more; ``advance`` updates it."""
        return not self._may_ask and not self._untold

    def next(self) -> Candidate | None:
        """The next candidate to try; advances first if none is ready. None: finished, or outcomes are awaited."""
        if not self._ready:
            self.advance()
        if not self._ready:
            return None
        candidate = self._ready.popleft()
        self._running.add(candidate.number)
        return candidate

    def done(self, number: int, outcome: Outcome) -> None:
        """Takes the outcome of the candidate with this number, which ``next`` has handed out; told by ``advance``."""
        self._running.remove(number)
        self._outcomes[number] = outcome

    def advance(self) -> None:
        """Does all tells and asks that are possible now."""
        self._fill_window()
        while self._untold and (outcome := self._outcomes.pop(self._untold[0].number, None)) is not None:
            self._strategy.tell(self._untold.popleft(), outcome)
            self._may_ask = True
            self._fill_window()

    def _fill_window(self) -> None:
        # A strategy that had no more is asked again only after a tell: asking draws random numbers, so one
        # fruitless ask more or less, depending on timing, would change what follows.
        while self._may_ask and len(self._untold) < self._window:
            candidate = self._strategy.ask()
            if candidate is None:
                self._may_ask = False
            else:
                self._untold.append(candidate)
                self._ready.append(candidate)


def window_for(slots: int, strategy: Strategy) -> int:
    """Number of candidates to keep in flight for ``slots`` workers.

    One worker gets the textbook algorithm, in which every candidate knows all outcomes before it; only where asking
    is slow, the next one is asked while the worker is busy. More workers get two candidates in hand: tells keep the
    order of the candidates, so a trial that takes long holds back the outcomes of faster ones after it, and no worker
    should stand idle for that.
    """
    if slots == 1:
        return 2 if strategy.asks_ahead else 1
    return slots + min(slots, 2)
