"""A genetic algorithm over operators."""

from math import isqrt
from random import Random
from typing import TYPE_CHECKING

from pydantic import Field

from safs.search.sites import SiteTrials, State
from safs.search.strategy import REDRAWS
from safs.spec.options import Options
from safs.trials import Candidate, Outcome

if TYPE_CHECKING:  # see strategy.py
    from ConfigSpace import ConfigurationSpace


class GeneticOptions(Options):
    """Options of ``genetic``."""

    population: int | None = Field(
        None, ge=2, le=10_000, description="states per generation; by default the square root of the trials, at least 4"
    )
    tournament: int = Field(
        2, ge=1, le=100, description="number of states that are drawn to choose a parent, which is the best of them"
    )
    crossover: float = Field(
        0.8, ge=0, le=1, description="probability that a child takes each site from either of two parents"
    )
    mutation: float | None = Field(
        None, ge=0, le=1, description="probability of a new operator at each site; by default 1 / number of sites"
    )
    elites: int = Field(1, ge=0, le=100, description="number of best states that the next generation keeps unchanged")


DEFAULTS = GeneticOptions()


class Genetic:
    """A generational genetic algorithm: tournaments, uniform crossover, mutation, elites.

    The first generation is random. Each further generation consists of the elites of the last one, which need no new
    trial, and of children. A child has two parents, each chosen by a tournament. With probability ``crossover`` each of
    its sites comes from either parent, otherwise all come from the first. Then each site gets another operator with
    probability ``mutation``. A child that was tried before is mutated until it is new.

    Several candidates of one generation can be in flight. The next generation is bred once all of them are told, so the
    candidates do not depend on the number in flight. A foreign trial joins the current generation; only the
    ``population`` best members of a generation become parents.

    Holland, "Adaptation in Natural and Artificial Systems" (1975); uniform crossover: Syswerda, ICGA 1989.

    Raises:
        SpecError: the space has a hyperparameter that is not categorical.
    """

    asks_ahead = False

    def __init__(
        self,
        space: "ConfigurationSpace",
        *,
        trials: int,
        epochs: int,
        seed: int,
        options: GeneticOptions = DEFAULTS,
    ) -> None:
        self._trials = SiteTrials(space, "genetic", trials=trials, epochs=epochs, seed=seed)
        self._random = Random(seed)
        self._options = options
        self._population = options.population or max(isqrt(trials), 4)
        self._mutation = 1 / len(self._trials.sites) if options.mutation is None else options.mutation
        self._members: list[tuple[float, State]] = []
        self._queue: list[State] = []
        self.expected_trials = trials

    def ask(self) -> Candidate | None:
        if not self._trials.left:
            return None
        if not self._queue and not self._trials.in_flight:
            self._queue = self._next_generation()
        return self._trials.propose(self._queue.pop(0)) if self._queue else None

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        state, energy = self._trials.told(candidate, outcome)
        self._members.append((energy, state))
        self._queue = [queued for queued in self._queue if queued != state]

    def _next_generation(self) -> list[State]:
        """The states to try next: random ones until the population is complete, then children."""
        missing = self._population - len(self._members)
        if missing > 0:
            return self._fresh(missing, [])
        parents = sorted(self._members, key=lambda member: member[0])[: self._population]
        self._members = parents[: min(self._options.elites, self._population - 1)]
        return self._fresh(self._population - len(self._members), parents)

    def _fresh(self, count: int, parents: list[tuple[float, State]]) -> list[State]:
        """Up to ``count`` distinct states that were not tried; fewer if no more are found."""
        found: list[State] = []
        for _ in range(count):
            state = self._child(parents) if parents else self._trials.draw(self._random)
            for _ in range(REDRAWS):
                if self._trials.is_fresh(state) and state not in found:
                    found.append(state)
                    break
                site = self._random.randrange(len(state))
                state = self._trials.exchange(state, site, self._random)
        return found

    def _child(self, parents: list[tuple[float, State]]) -> State:
        first, second = self._parent(parents), self._parent(parents)
        if self._random.random() < self._options.crossover:
            first = tuple(self._random.choice(pair) for pair in zip(first, second, strict=True))
        for site in range(len(first)):
            if self._random.random() < self._mutation:
                first = self._trials.exchange(first, site, self._random)
        return first

    def _parent(self, parents: list[tuple[float, State]]) -> State:
        """The best of a few randomly drawn parents. ``parents`` are sorted, best first."""
        return parents[min(self._random.randrange(len(parents)) for _ in range(self._options.tournament))][1]
