"""Resuming the search of an earlier attempt: the strategy runs again and receives the recorded outcomes."""

from collections.abc import Callable, Mapping

from safs.search.strategy import Repeats, Strategy
from safs.trials import Candidate, Outcome, Trial


class Replayed:
    """A strategy whose proposals are checked against the trials of an earlier attempt.

    A strategy depends on its arguments, the calls and the outcomes only. So a new strategy that is asked and told in
    the same order makes the recorded proposals again, and then continues as the first one would have. While the
    proposals match, this class passes all calls through, and the executor uses the recorded outcomes instead of running
    the trials.

    Proposals differ if the earlier attempt ran other code or had another number of candidates in flight. At the first
    difference, ``make`` is called again. The new strategy is told all known trials as foreign ones, in the order of
    their numbers, and continues from there. Candidates that were proposed before the difference and are still in flight
    are told to it as well; nothing is asked until they are, so that they count as trials.

    Args:
        make: makes the strategy; always the same one.
        known: trials of the earlier attempt, by number.
    """

    def __init__(self, make: Callable[[], Strategy], known: Mapping[int, Trial]) -> None:
        self._make = make
        self._known = dict(known)
        self._strategy = make()
        self._next = 0
        self._untold: set[int] = set()
        self._awaited: set[int] = set()
        self.diverged: str | None = None
        """Description of the first difference from the recorded search; None if there is none."""
        self.adopted: list[Trial] = []
        """Known trials that the new strategy was told and will not propose again, by number."""

    @property
    def expected_trials(self) -> int:
        return self._strategy.expected_trials

    @property
    def asks_ahead(self) -> bool:
        return self._strategy.asks_ahead

    def ask(self) -> Candidate | None:
        if self._awaited:
            return None
        candidate = self._ask()
        if self.diverged is None and (reason := self._mismatch(candidate)) is not None:
            self._diverge(reason)
            candidate = None if self._awaited else self._strategy.ask()
        if candidate is not None:
            self._untold.add(candidate.number)
            self._next = candidate.number + 1
        return candidate

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        self._untold.discard(candidate.number)
        self._awaited.discard(candidate.number)
        if self.diverged is None or candidate.number not in self._known:
            self._strategy.tell(candidate, outcome)
            self._known[candidate.number] = Trial(candidate, outcome)

    def _ask(self) -> Candidate | None:
        """The next proposal. A recorded one is repeated without a search, by strategies that can."""
        known = self._known.get(self._next) if self.diverged is None else None
        if known is not None and isinstance(self._strategy, Repeats):
            return self._strategy.repeat(known.candidate)
        return self._strategy.ask()

    def _mismatch(self, candidate: Candidate | None) -> str | None:
        """Description of the difference between this proposal and the recorded one; None if they are the same."""
        if candidate is None:
            # A strategy with trials in flight may propose more once it knows their outcomes.
            left = [number for number in sorted(self._known) if number >= self._next]
            if self._untold or not left:
                return None
            return f"nothing more is proposed, but candidate {left[0]} was: {self._known[left[0]].candidate.config}"
        trial = self._known.get(candidate.number)
        if trial is None or _same(trial.candidate, candidate):
            return None
        return f"candidate {candidate.number} was {_shown(trial.candidate)}, and now would be {_shown(candidate)}"

    def _diverge(self, reason: str) -> None:
        self.diverged = reason
        known = [trial for _, trial in sorted(self._known.items())]
        self.adopted = [trial for trial in known if trial.candidate.number >= self._next]
        self._awaited = self._untold - set(self._known)
        self._strategy = self._make()
        for trial in known:
            self._strategy.tell(trial.candidate, trial.outcome)


def _same(recorded: Candidate, proposed: Candidate) -> bool:
    """True if ``recorded`` has the outcome of ``proposed``, which does not depend on the trial that it continues."""
    return (recorded.config, recorded.epochs, recorded.seed, recorded.horizon) == (
        proposed.config,
        proposed.epochs,
        proposed.seed,
        proposed.horizon,
    )


def _shown(candidate: Candidate) -> str:
    span = "" if candidate.horizon is None else f" of {candidate.horizon}"
    return f"{candidate.config} for {candidate.epochs}{span} epochs from seed {candidate.seed}"
