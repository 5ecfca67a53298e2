"""The interface of search strategies: ``ask`` proposes candidates, ``tell`` receives their outcomes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from numpy import generic

from safs.spec.options import NoOptions, Options
from safs.trials import Candidate, Config, Outcome

if TYPE_CHECKING:  # ConfigSpace imports scipy, which takes a second; the list of strategies is needed without it.
    from ConfigSpace import ConfigurationSpace

REDRAWS = 1000
"""Number of repeated draws in a row after which a space counts as exhausted."""
NO_OPTIONS = NoOptions()


class Strategy(Protocol):
    """A search by ask and tell, which minimises ``Outcome.loss``. A failed trial has an infinite loss.

    Proposals depend on the strategy's arguments, the order of the calls and the outcomes told, and on nothing else.
    ``safs.search.conductor`` fixes that order. Several candidates may be asked before the first is told.
    """

    @property
    def expected_trials(self) -> int:
        """Expected number of trials. Some strategies add trials while they improve."""

    @property
    def asks_ahead(self) -> bool:
        """True if ``ask`` is slow, so that the next candidate should be asked before a worker is free for it."""

    def ask(self) -> Candidate | None:
        """The next candidate, numbered from 0 in the order of the asks.

        None means that there is no candidate for now. The search ends if it is None with every candidate told.
        """

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        """Receive the outcome of a candidate. Candidates that were asked are told in the order of their numbers.

        A candidate can be a foreign one, which this strategy did not propose, such as a first candidate or a trial of
        an earlier attempt. The strategy learns from it if it can, counts it as one of its trials, and gives later
        proposals higher numbers.
        """


@runtime_checkable
class Repeats(Protocol):
    """A strategy that repeats a recorded candidate in less time than ``ask``, and proposes the same ones after it."""

    def repeat(self, recorded: Candidate) -> Candidate | None:
        """Return what ``ask`` would return, which an earlier attempt recorded at the same point."""


class MakeStrategy(Protocol):
    """Makes a strategy over ``space``.

    Args:
        trials: number of candidates to propose, including foreign ones that are told; at least 1.
        epochs: epochs of each trial, or of the longest trials if the strategy has shorter ones.
        seed: seed of the strategy's draws and of every candidate's training.
        options: options of the type that the registry's entry names; that type's defaults if left out.
    """

    def __call__(
        self, space: "ConfigurationSpace", *, trials: int, epochs: int, seed: int, options: Any = ...
    ) -> Strategy: ...


@dataclass(frozen=True, slots=True)
class StrategyEntry:
    """An entry of the registry of strategies."""

    make: MakeStrategy
    summary: str
    """One phrase that describes the strategy."""
    stages: tuple[str, ...]
    """Stages that the strategy can search: ``activations`` (categoricals only), ``tune``, ``joint`` (any space)."""
    options: type[Options] = NoOptions
    multi_fidelity: bool = False
    """True if trials have different numbers of epochs."""
    source: str = ""
    """The publication or package."""


class Proposals:
    """Numbers a strategy's candidates, and distinguishes its own candidates from foreign ones.

    All candidates of a search train from the same seed, and for the same number of epochs unless the strategy sets
    another. With the same random numbers (initial scalars, order of the batches), two outcomes differ by the proposals
    and not by chance.
    """

    def __init__(self, *, epochs: int, seed: int) -> None:
        self._epochs = epochs
        self._seed = seed
        self._next = 0
        self._open: dict[int, Candidate] = {}
        self.made = 0
        """Number of trials so far: proposed candidates and foreign ones."""

    @property
    def in_flight(self) -> int:
        """Number of proposed candidates whose outcome was not told yet."""
        return len(self._open)

    def propose(
        self, config: Config, *, epochs: int | None = None, horizon: int | None = None, continues: int | None = None
    ) -> Candidate:
        """The next candidate, with ``config``. The other arguments are fields of ``Candidate``."""
        candidate = Candidate(self._next, config, epochs or self._epochs, self._seed, horizon, continues)
        self._open[candidate.number] = candidate
        self._next += 1
        self.made += 1
        return candidate

    def told(self, candidate: Candidate) -> bool:
        """Record that ``candidate`` is told. Returns True if it was proposed here, False if it is foreign."""
        if self._open.pop(candidate.number, None) is not None:
            return True
        self._next = max(self._next, candidate.number + 1)
        self.made += 1
        return False


Point: TypeAlias = frozenset[tuple[str, str | int | float]]


def point_of(config: Config) -> Point:
    """The config as a hashable value."""
    return frozenset(config.items())


def plain_config(point: Mapping[str, Any]) -> Config:
    """A point of a ConfigSpace with Python values in place of numpy's.

    >>> from numpy import float64, str_
    >>> plain_config({"optimizer": str_("sgd"), "momentum": float64(0.5)})
    {'optimizer': 'sgd', 'momentum': 0.5}
    """
    return {name: value.item() if isinstance(value, generic) else value for name, value in point.items()}
