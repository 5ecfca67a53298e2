"""Going on with a search that an earlier attempt began: the strategy is run again, over the outcomes that it found."""

from collections.abc import Callable, Mapping

from safs.search.strategy import Strategy
from safs.trials import Candidate, Outcome, Trial


class Replayed:
    """A strategy whose proposals are checked against the trials of an earlier attempt.

    A strategy depends on its arguments, the calls and the outcomes alone, so a fresh one that is asked and told in the
    same order proposes the same again, and then what it would have proposed next. As long as that holds this is
    transparent; whoever runs the trials takes the known outcomes instead of running them.

    It does not hold where the earlier attempt ran other code or with other numbers in flight. Then, at the first
    proposal that is not the recorded one, ``make`` is called again; the new strategy is told all known trials as
    foreign ones, in the order of their numbers, and goes on from there. What was proposed before that and is not known
    is told to it when it comes; nothing is asked until then, so that it counts among the trials.

    Args:
        make: makes the strategy, always the same.
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
        """Where the search left the recorded one, and how."""
        self.adopted: list[Trial] = []
        """Known trials that will never be asked again, by number: the strategy was told of them."""

    @property
    def expected_trials(self) -> int:
        return self._strategy.expected_trials

    @property
    def asks_ahead(self) -> bool:
        return self._strategy.asks_ahead

    def ask(self) -> Candidate | None:
        if self._awaited:
            return None
        candidate = self._strategy.ask()
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

    def _mismatch(self, candidate: Candidate | None) -> str | None:
        """Why this proposal is not the recorded one, if it is not."""
        if candidate is None:
            # With trials in flight, a strategy may have more to propose once it knows them.
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
