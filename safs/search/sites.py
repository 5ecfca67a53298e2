"""States, random draws and tried states of the strategies that walk over operators at sites."""

from collections.abc import Sequence
from math import inf, isnan
from random import Random
from typing import TYPE_CHECKING, TypeAlias

from safs.errors import SpecError
from safs.search.strategy import REDRAWS, Proposals
from safs.trials import Candidate, Config, Outcome

if TYPE_CHECKING:  # see strategy.py
    from ConfigSpace import ConfigurationSpace

State: TypeAlias = tuple[str, ...]
"""One operator per site, in the order of the sites."""


class SiteTrials:
    """The trials of a search over sites. Each state is tried once, since the same seed would give the same loss again.

    Args:
        strategy: name of the strategy, for error messages.
        trials, epochs, seed: as in ``MakeStrategy``.

    Raises:
        SpecError: the space has a hyperparameter that is not categorical.
    """

    def __init__(self, space: "ConfigurationSpace", strategy: str, *, trials: int, epochs: int, seed: int) -> None:
        choices = choices_by_site(space, strategy)
        self.sites: tuple[str, ...] = tuple(choices)
        self.choices: tuple[Sequence[str], ...] = tuple(choices.values())
        self.energies: dict[State, float] = {}
        """State -> loss, for every state that was told; infinite if the trial failed."""
        self._proposals = Proposals(epochs=epochs, seed=seed)
        self._trials = trials
        self._open: set[State] = set()

    @property
    def left(self) -> int:
        """Number of trials that may still be proposed."""
        return max(self._trials - self._proposals.made, 0)

    @property
    def in_flight(self) -> int:
        return self._proposals.in_flight

    def propose(self, state: State) -> Candidate:
        self._open.add(state)
        return self._proposals.propose(dict(zip(self.sites, state, strict=True)))

    def told(self, candidate: Candidate, outcome: Outcome) -> tuple[State, float]:
        """Record an outcome; returns the candidate's state and its energy."""
        self._proposals.told(candidate)
        state, energy = self.state(candidate.config), energy_of(outcome)
        self._open.discard(state)
        self.energies[state] = energy
        return state, energy

    def state(self, config: Config) -> State:
        return tuple(str(config[site]) for site in self.sites)

    def is_fresh(self, state: State) -> bool:
        """True if the state was neither told nor proposed."""
        return state not in self.energies and state not in self._open

    def draw(self, random: Random) -> State:
        return tuple(random.choice(choices) for choices in self.choices)

    def draw_fresh(self, random: Random) -> State | None:
        """A random state that was not tried; None if none was found in ``REDRAWS`` draws."""
        draws = (self.draw(random) for _ in range(REDRAWS))
        return next(filter(self.is_fresh, draws), None)

    def exchange(self, state: State, site: int, random: Random) -> State:
        """``state`` with another random operator at ``site``; unchanged if the site has only one operator."""
        others = [operator for operator in self.choices[site] if operator != state[site]]
        return placed(state, site, random.choice(others)) if others else state


def placed(state: State, site: int, operator: str) -> State:
    """``state`` with ``operator`` at ``site``."""
    return (*state[:site], operator, *state[site + 1 :])


def energy_of(outcome: Outcome) -> float:
    """The outcome's loss; infinite if it is NaN."""
    return inf if isnan(outcome.loss) else outcome.loss


def choices_by_site(space: "ConfigurationSpace", strategy: str) -> dict[str, Sequence[str]]:
    """Site -> its operators.

    Raises:
        SpecError: a hyperparameter is not categorical.
    """
    from ConfigSpace import CategoricalHyperparameter

    choices: dict[str, Sequence[str]] = {}
    for name, parameter in space.items():
        if not isinstance(parameter, CategoricalHyperparameter):
            raise SpecError(
                f"{strategy} searches categorical choices, {name!r} is a {type(parameter).__name__}; use smac or random"
            )
        choices[name] = tuple(map(str, parameter.choices))
    return choices
