"""What a search strategy is: it proposes candidates when asked and is told their outcomes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from numpy import generic

from safs.trials import Candidate, Config, Outcome

if TYPE_CHECKING:  # ConfigSpace imports scipy, which takes a second that listing the strategies must not cost.
    from ConfigSpace import ConfigurationSpace
REDRAWS = 1000
"""Draws in a row that may repeat an earlier candidate before a space counts as exhausted."""


class Strategy(Protocol):
    """A search by ask and tell. Minimises ``Outcome.loss``; a trial that broke down has an infinite one.

    What a strategy proposes depends on its arguments, on the order of the calls and on the outcomes told, nothing else.
    ``safs.search.conductor`` fixes that order. Several candidates may be asked before the first is told.
    """

    @property
    def expected_trials(self) -> int:
        """Trials that will be proposed if nothing unforeseen happens; some strategies add trials while they improve."""

    @property
    def asks_ahead(self) -> bool:
        """Whether ``ask`` is slow enough that one candidate should be asked before a worker is free for it."""

    def ask(self) -> Candidate | None:
        """The next candidate, numbered from 0 in the order of the asks.

        None: no more for what is known so far. It is the end once every candidate has been told.
        """

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        """Takes in the outcome of a candidate that was asked. Candidates are told in the order of their numbers."""


class MakeStrategy(Protocol):
    """Builds a strategy over ``space``.

    Args:
        trials: how many candidates to propose; at least 1.
        epochs: of each trial's training.
        seed: of the strategy's own draws, and of every candidate's training.
    """

    def __call__(self, space: "ConfigurationSpace", *, trials: int, epochs: int, seed: int) -> Strategy: ...


@dataclass(frozen=True, slots=True)
class StrategyEntry:
    """A strategy's line in the registry."""

    make: MakeStrategy
    summary: str
    """One sentence for people."""
    stages: tuple[str, ...]
    """Where it can be used: ``activations`` (categorical sites), ``tune`` (any space)."""


class Proposals:
    """Numbers a strategy's candidates.

    All candidates of a search train for the same epochs from the same seed. With common random numbers (initial
    scalars, order of the batches) two outcomes differ by what was proposed rather than by luck.
    """

    def __init__(self, *, epochs: int, seed: int) -> None:
        self._epochs = epochs
        self._seed = seed
        self.made = 0

    def propose(self, config: Config) -> Candidate:
        """The next candidate, with ``config``."""
        candidate = Candidate(self.made, config, self._epochs, self._seed)
        self.made += 1
        return candidate


def plain_config(point: Mapping[str, Any]) -> Config:
    """A point of a ConfigSpace as plain Python values, where ConfigSpace has numpy's.

    >>> from numpy import float64, str_
    >>> plain_config({"optimizer": str_("sgd"), "momentum": float64(0.5)})
    {'optimizer': 'sgd', 'momentum': 0.5}
    """
    return {name: value.item() if isinstance(value, generic) else value for name, value in point.items()}
