"""A strategy that proposes what it is given."""

from collections.abc import Sequence

from safs.trials import Candidate, Outcome


class Scripted:
    """Proposes ``candidates`` in order, each once the one before was told."""

    asks_ahead = False

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._left = list(candidates)
        self._told = True
        self.expected_trials = len(candidates)

    def ask(self) -> Candidate | None:
        if not self._told or not self._left:
            return None
        self._told = False
        return self._left.pop(0)

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        self._told = True
