"""A search strategy with given candidates."""

from collections.abc import Sequence

from safs.trials import Candidate, Outcome


class Scripted:
    """Proposes ``candidates`` in order, each after the outcome of the one before."""

    asks_ahead = False

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._left = list(candidates)
        self._ready = True
        self.expected_trials = len(candidates)

    def ask(self) -> Candidate | None:
        if not self._ready or not self._left:
            return None
        self._ready = False
        return self._left.pop(0)

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        self._ready = True
