"""What a search strategy is: it proposes candidates when asked and is told their outcomes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from safs.trials import Candidate, Config, Outcome

if TYPE_CHECKING:  # ConfigSpace imports scipy, which takes a second that listing the strategies must not cost.
    from ConfigSpace import ConfigurationSpace


class Strategy(Protocol):
    """A search by ask and tell. Minimises ``Outcome.loss``; a trial that broke down has an infinite one.

    A strategy is a deterministic function of its arguments and of the order of the calls: that order, and with it every
    candidate, is fixed by ``safs.search.conductor``. Several candidates may be asked before the first is told.
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


def plain_config(values: Mapping[str, Any]) -> Config:
    """A point of a ConfigSpace as plain Python values: numpy's scalars (a drawn ``np.str_``) are neither JSON nor stable.

    >>> from numpy import float64, str_
    >>> plain_config({"optimizer": str_("sgd"), "momentum": float64(0.5)})
    {'optimizer': 'sgd', 'momentum': 0.5}
    """
    return {
        name: cast(str | int | float, getattr(value, "item", lambda value=value: value)())
        for name, value in values.items()
    }
