"""The interface of search strategies: ``ask`` proposes candidates, ``tell`` receives their outcomes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from numpy import generic

from safs.spec.options import NoOptions, Options
from safs.trials import Candidate, Config, Outcome

if TYPE_CHECKING:  # ConfigSpace imports scipy, which takes a second that listing the strategies must not cost.
    from ConfigSpace import ConfigurationSpace
REDRAWS = 1000
"""Draws in a row that may repeat an earlier candidate before a space counts as exhausted."""
NO_OPTIONS = NoOptions()


class Strategy(Protocol):
    """A search by ask and tell. Minimises ``Outcome.loss``; a trial that broke down has an infinite one.

    What a strategy proposes depends on its arguments, on the order of the calls and on the outcomes told, nothing else.
    ``safs.search.conductor`` fixes that order. Several candidates may be asked before the first is told.
    """

    @property
    def expected_trials(self) -> int:
        """Trials that there will be if nothing unforeseen happens; some strategies add some while they improve."""

    @property
    def asks_ahead(self) -> bool:
        """True if ``ask`` is so slow that one candidate should be asked before a worker is free for it."""

    def ask(self) -> Candidate | None:
        """The next candidate, numbered from 0 in the order of the asks.

        None: no more for what is known so far. It is the end once every candidate has been told.
        """

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        """Takes in the outcome of a candidate. Those that were asked are told in the order of their numbers.

        It may also be a foreign one, which this strategy did not propose: a first candidate from another job, or an
        earlier attempt's. The strategy learns from it as far as its kind can, counts it as one of its trials, and
        numbers what it proposes from now on after it.
        """


class MakeStrategy(Protocol):
    """Builds a strategy over ``space``.

    Args:
        trials: how many candidates to propose, less the foreign ones that it is told; at least 1.
        epochs: of each trial's training; of the longest trials' where a strategy has shorter ones.
        seed: of the strategy's own draws, and of every candidate's training.
        options: of the kind that the registry's entry names; by default that kind's defaults.
    """

    def __call__(
        self, space: "ConfigurationSpace", *, trials: int, epochs: int, seed: int, options: Any = ...
    ) -> Strategy: ...


@dataclass(frozen=True, slots=True)
class StrategyEntry:
    """A strategy's line in the registry."""

    make: MakeStrategy
    summary: str
    """One sentence for people."""
    stages: tuple[str, ...]
    """Stages that the strategy can search: ``activations`` (a categorical a site), ``tune``, ``joint`` (any space)."""
    options: type[Options] = NoOptions
    multi_fidelity: bool = False
    """True if trials have different numbers of epochs."""
    source: str = ""
    """The publication or package."""


class Proposals:
    """Numbers a strategy's candidates, and tells its own from foreign ones.

    All candidates of a search train from the same seed, and for the same epochs unless the strategy says otherwise.
    With common random numbers (initial scalars, order of the batches) two outcomes differ by what was proposed rather
    than by luck.
    """

    def __init__(self, *, epochs: int, seed: int) -> None:
        self._epochs = epochs
        self._seed = seed
        self._next = 0
        self._open: dict[int, Candidate] = {}
        self.made = 0
        """Trials so far: proposed here, or told though they were not."""

    @property
    def in_flight(self) -> int:
        """Number of proposed candidates whose outcome is not told yet."""
        return len(self._open)

    def propose(
        self, config: Config, *, epochs: int | None = None, horizon: int | None = None, continues: int | None = None
    ) -> Candidate:
        """The next candidate, with ``config``; the rest as in ``Candidate``."""
        candidate = Candidate(self._next, config, epochs or self._epochs, self._seed, horizon, continues)
        self._open[candidate.number] = candidate
        self._next += 1
        self.made += 1
        return candidate

    def told(self, candidate: Candidate) -> bool:
        """Takes note that ``candidate`` is told; returns whether it was proposed here."""
        if self._open.pop(candidate.number, None) is not None:
            return True
        self._next = max(self._next, candidate.number + 1)
        self.made += 1
        return False


Point: TypeAlias = frozenset[tuple[str, str | int | float]]


def point_of(config: Config) -> Point:
    """The config as something that sets and dictionaries can hold."""
    return frozenset(config.items())


def plain_config(point: Mapping[str, Any]) -> Config:
    """A point of a ConfigSpace as plain Python values, where ConfigSpace has numpy's.

    >>> from numpy import float64, str_
    >>> plain_config({"optimizer": str_("sgd"), "momentum": float64(0.5)})
    {'optimizer': 'sgd', 'momentum': 0.5}
    """
    return {name: value.item() if isinstance(value, generic) else value for name, value in point.items()}
