"""A one-exchange climb over operators."""

from math import inf
from random import Random
from typing import TYPE_CHECKING

from pydantic import Field

from safs.search.sites import SiteTrials, State, placed
from safs.search.strategy import REDRAWS
from safs.spec.options import Options
from safs.trials import Candidate, Outcome

if TYPE_CHECKING:  # see strategy.py
    from ConfigSpace import ConfigurationSpace


class ExchangeOptions(Options):
    """Options of ``exchange``."""

    kick: float = Field(
        0.3,
        gt=0,
        le=1,
        description="fraction of the sites that get new random operators at a local optimum; 1 restarts at random",
    )


DEFAULTS = ExchangeOptions()


class Exchange:
    """A first-improvement climb over one-exchange moves from a random state, with a random kick at local optima.

    The moves (site, operator) are shuffled once and then tried in this order, in rounds. A better state becomes the
    current state at once, and the round continues with the next move. If a whole round finds nothing better, the state
    is a local optimum. The climb then restarts from the best state so far, with new random operators at a fraction of
    its sites. No state is tried twice.

    With several candidates in flight, a move starts from the state that is current when it is asked. It becomes the
    current state if it is better than the state that is current when it is told. All outcomes are awaited before a
    kick. A foreign trial becomes the current state if it is better.

    Iterated local search: Lourenço, Martin & Stützle (2003), in "Handbook of Metaheuristics".

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
        options: ExchangeOptions = DEFAULTS,
    ) -> None:
        self._trials = SiteTrials(space, "exchange", trials=trials, epochs=epochs, seed=seed)
        self._random = Random(seed)
        self._kick = options.kick
        self._moves = [(site, operator) for site, choices in enumerate(self._trials.choices) for operator in choices]
        self._random.shuffle(self._moves)
        self._position = 0
        self._since_better = 0
        self._state: State | None = None
        self._energy = inf
        self.expected_trials = trials

    def ask(self) -> Candidate | None:
        if not self._trials.left:
            return None
        if self._state is None:
            return self._start(self._trials.draw(self._random))
        moved = self._next_move()
        if moved is not None:
            return self._trials.propose(moved)
        if self._trials.in_flight:
            return None
        kicked = self._kicked() or self._trials.draw_fresh(self._random)
        return None if kicked is None else self._start(kicked)

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        state, energy = self._trials.told(candidate, outcome)
        if state == self._state:
            self._energy = energy
        elif energy < self._energy:
            self._move_to(state, energy)

    def _start(self, state: State) -> Candidate:
        self._move_to(state, inf)
        return self._trials.propose(state)

    def _move_to(self, state: State, energy: float) -> None:
        self._state, self._energy, self._since_better = state, energy, 0

    def _next_move(self) -> State | None:
        """The next untried state of the round; None at the end of a round that found nothing better."""
        assert self._state is not None
        while self._since_better < len(self._moves):
            moved = placed(self._state, *self._moves[self._position])
            self._position = (self._position + 1) % len(self._moves)
            self._since_better += 1
            if self._trials.is_fresh(moved):
                return moved
            # While the current state is in flight its energy is unknown, and no state counts as better.
            known = self._state in self._trials.energies
            if known and (energy := self._trials.energies.get(moved, inf)) < self._energy:
                self._move_to(moved, energy)
        return None

    def _kicked(self) -> State | None:
        """The best state with new random operators at some sites; None if no untried state was found."""
        best = min(self._trials.energies.items(), key=lambda item: item[1])[0]
        sites = max(round(self._kick * len(best)), min(2, len(best)))
        for _ in range(REDRAWS):
            state = best
            for site in self._random.sample(range(len(best)), sites):
                state = placed(state, site, self._random.choice(self._trials.choices[site]))
            if self._trials.is_fresh(state):
                return state
        return None
