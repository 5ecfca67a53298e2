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
    population: int | None = Field(
        None, ge=2, le=10_000, description="states a generation; by default the root of the trials, at least 4"
    )
    tournament: int = Field(2, ge=1, le=100, description="of so many drawn states the best becomes a parent")
    crossover: float = Field(0.8, ge=0, le=1, description="probability that a child mixes two parents, site by site")
    mutation: float | None = Field(
        None, ge=0, le=1, description="probability of another operator, a site; by default 1 over the sites"
    )
    elites: int = Field(1, ge=0, le=100, description="the best so many of a generation are in the next as they are")


DEFAULTS = GeneticOptions()


class Genetic:
    """A generational genetic algorithm: tournaments, uniform crossover, mutation, elites.

    The first generation is random. Every next one has the elites of the last, which cost no new trial, and children:
    two parents by tournament, mixed site by site with probability ``crossover`` (otherwise the first alone), then
    another operator at each site with probability ``mutation``. A child that was tried before mutates on until it was
    not, since its loss is known.

    With several candidates in flight those of one generation are tried side by side; the next one is bred when all of
    them are told. So the candidates do not depend on how many are in flight. A foreign trial is a member of the
    generation that is being tried, and only the ``population`` best of one breed.

    Holland, "Adaptation in Natural and Artificial Systems" (1975); uniform crossover: Syswerda, ICGA 1989.

    Raises:
        SpecError: the space has a hyperparameter that is no categorical.
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
        """The states to try next: random ones until there is a population, from then on children."""
        missing = self._population - len(self._members)
        if missing > 0:
            return self._fresh(missing, [])
        parents = sorted(self._members, key=lambda member: member[0])[: self._population]
        self._members = parents[: min(self._options.elites, self._population - 1)]
        return self._fresh(self._population - len(self._members), parents)

    def _fresh(self, count: int, parents: list[tuple[float, State]]) -> list[State]:
        """Up to this many new, distinct states, or as many as can be found."""
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
        """The best of a few that are drawn; ``parents`` are sorted."""
        return parents[min(self._random.randrange(len(parents)) for _ in range(self._options.tournament))][1]
