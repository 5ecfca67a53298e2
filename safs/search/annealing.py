"""Simulated annealing over operators."""

from math import exp, inf, isfinite, log
from random import Random
from statistics import fmean
from typing import TYPE_CHECKING

from pydantic import Field

from safs.search.sites import SiteTrials, State
from safs.search.strategy import REDRAWS
from safs.spec.options import Options
from safs.trials import Candidate, Outcome

if TYPE_CHECKING:  # see strategy.py
    from ConfigSpace import ConfigurationSpace


class AnnealingOptions(Options):
    """Options of ``annealing``."""

    start_temperature: float | None = Field(
        None,
        gt=0,
        description="first temperature, as a difference of losses; by default measured on a tenth of the trials",
    )
    start_acceptance: float = Field(
        0.3,
        gt=0,
        lt=1,
        description="probability of accepting a move of mean cost at the first temperature, if that is measured",
    )
    cooling: float = Field(0.05, gt=0, le=1, description="last temperature as a fraction of the first")


DEFAULTS = AnnealingOptions()


class Annealing:
    """Simulated annealing: a worse state is accepted with a probability that falls with its cost and over time.

    The first state is random. A move puts another operator at a random site. Let E be the energy (loss) of the current
    state and E' that of the moved state. The move is accepted if E' <= E, and otherwise with probability
    exp((E - E') / T). The temperature T falls geometrically over the trials, from T0 to ``cooling`` T0.

    Without ``start_temperature``, T0 is measured: a tenth of the trials, at least two, are a walk that accepts every
    move. The walk then returns to its best state. T0 is the temperature at which a move whose cost is the mean absolute
    difference of the measured energies is accepted with probability ``start_acceptance``. So T0 fits the objective.
    SAFS's reference code uses temperatures of 10 to 10,000 for energies below 0.1, at which every move is accepted.

    A move to a state that was tried before is decided without a new trial. A failed trial is accepted only in place of
    another failed trial.

    With several candidates in flight, a move starts from the state that is current when it is asked, and its outcome is
    compared with the state that is current when it is told. A foreign trial is compared in the same way.

    Kirkpatrick, Gelatt & Vecchi, "Optimization by simulated annealing", Science 220 (1983).

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
        options: AnnealingOptions = DEFAULTS,
    ) -> None:
        self._trials = SiteTrials(space, "annealing", trials=trials, epochs=epochs, seed=seed)
        self._random = Random(seed)
        self._options = options
        self._temperature = options.start_temperature
        self._warm_up = 1 if options.start_temperature is not None else 1 + max(trials // 10, 2)
        self._differences: list[float] = []
        self._state = self._trials.draw(self._random)
        self._energy = inf
        self._told = 0
        self.expected_trials = trials

    def ask(self) -> Candidate | None:
        if not self._trials.left:
            return None
        if self._trials.is_fresh(self._state) and not self._told:
            return self._trials.propose(self._state)
        for _ in range(REDRAWS):
            moved = self._moved()
            if self._trials.is_fresh(moved):
                return self._trials.propose(moved)
            if (energy := self._trials.energies.get(moved)) is not None:
                self._step(moved, energy)
        return None

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        state, energy = self._trials.told(candidate, outcome)
        self._told += 1
        if self._told <= self._warm_up:
            self._walk(state, energy)
        else:
            self._step(state, energy)

    def _moved(self) -> State:
        return self._trials.exchange(self._state, self._random.randrange(len(self._state)), self._random)

    def _walk(self, state: State, energy: float) -> None:
        """Make a step of the walk that measures T0; after its last step, return to the best state."""
        if isfinite(energy - self._energy):
            self._differences.append(abs(energy - self._energy))
        if isfinite(energy) or not isfinite(self._energy):
            self._state, self._energy = state, energy
        if self._told == self._warm_up:
            self._state, self._energy = min(self._trials.energies.items(), key=lambda item: item[1])

    def _step(self, state: State, energy: float) -> None:
        if energy <= self._energy or self._random.random() < self._probability(energy - self._energy):
            self._state, self._energy = state, energy

    def _probability(self, cost: float) -> float:
        temperature = self._current_temperature()
        return exp(-cost / temperature) if temperature > 0 else 0.0

    def _current_temperature(self) -> float:
        start = self._temperature
        if start is None:
            mean = fmean(self._differences) if self._differences else 0.0
            start = mean / -log(self._options.start_acceptance)
        steps = max(self.expected_trials - self._warm_up, 1)
        passed = min(max(self._told - self._warm_up, 0) / steps, 1.0)
        return float(start * self._options.cooling**passed)
