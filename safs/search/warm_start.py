"""Given first candidates, which are tried before a strategy's own."""

from collections.abc import Sequence

from safs.search.strategy import Point, Proposals, Repeats, Strategy, point_of
from safs.trials import Candidate, Config, Outcome


class WarmStart:
    """Proposes ``firsts``, and then the proposals of ``strategy``, which was told the outcomes of all ``firsts``.

    The first candidates count as trials of the strategy, so they add no cost. The strategy is not asked before the last
    of them is told.

    Args:
        strategy: a new strategy. It is told the first candidates as foreign ones.
        firsts: points of the strategy's space. Repeated points, and points beyond its number of trials, are left out.
        epochs, seed: epochs and seed of each of these trials.
    """

    def __init__(self, strategy: Strategy, firsts: Sequence[Config], *, epochs: int, seed: int) -> None:
        self._strategy = strategy
        self._proposals = Proposals(epochs=epochs, seed=seed)
        self._waiting: dict[Point, Config] = {point_of(config): config for config in firsts}

    @property
    def expected_trials(self) -> int:
        return self._strategy.expected_trials

    @property
    def asks_ahead(self) -> bool:
        return self._strategy.asks_ahead

    def ask(self) -> Candidate | None:
        if self._waiting and self._proposals.made < self.expected_trials:
            point = next(iter(self._waiting))
            return self._proposals.propose(self._waiting.pop(point))
        return None if self._proposals.in_flight else self._strategy.ask()

    def repeat(self, recorded: Candidate) -> Candidate | None:
        if not isinstance(self._strategy, Repeats) or self._waiting or self._proposals.in_flight:
            return self.ask()
        return self._strategy.repeat(recorded)

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        if not self._proposals.told(candidate):
            self._waiting.pop(point_of(candidate.config), None)
        self._strategy.tell(candidate, outcome)
