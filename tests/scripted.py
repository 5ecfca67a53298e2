"""A search strategy with given candidates."""

from collections.abc import Sequence

from safs.trials import Candidate, Outcome


class Scripted:
    """Proposes ``candidates`` in order, with up to ``in_flight`` of them at once."""

    asks_ahead = False

    def __init__(self, candidates: Sequence[Candidate], in_flight: int = 1) -> None:
        self._left = list(candidates)
        self._free = in_flight
        self.expected_trials = len(candidates)

    def ask(self) -> Candidate | None:
        if not self._free or not self._left:
            return None
        self._free -= 1
        return self._left.pop(0)

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        self._free += 1
