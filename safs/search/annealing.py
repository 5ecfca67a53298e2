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
    start_temperature: float | None = Field(
        None, gt=0, description="as a difference of losses; by default measured on a tenth of the trials"
    )
    start_acceptance: float = Field(
        0.3, gt=0, lt=1, description="at the measured start, the probability of accepting a move that costs the mean"
    )
    cooling: float = Field(0.05, gt=0, le=1, description="the last temperature as a part of the first")


DEFAULTS = AnnealingOptions()


class Annealing:
    """Simulated annealing: accept a worse state with a probability that falls with its cost and with time.

    The first state is random; a move puts another operator at a random site. With E the energy (loss) of the current
    state and E' that of the moved one, it is accepted if E' <= E, otherwise with probability exp((E - E') / T). The
    temperature falls geometrically over the trials, from T0 to ``cooling`` T0.

    Without ``start_temperature`` a tenth of the trials, at least two, are a walk that accepts every move; then the walk
    goes back to its best state, and T0 is such that a move that costs the mean absolute difference of energies seen is
    accepted with probability ``start_acceptance``. So the temperature fits the objective, where SAFS's reference code
    has 10 to 10,000 for energies below 0.1, at which everything is accepted.

    A state that was tried before makes its step without a trial. A trial that broke down is accepted only in place of
    one that broke down too.

    With several candidates in flight a move starts from the state that is current when it is asked, and its outcome is
    compared with the state that is current when it is told. A foreign trial is compared in the same way.

    Kirkpatrick, Gelatt & Vecchi, "Optimization by simulated annealing", Science 220 (1983).

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
        """A step of the measurement; after the last one, back to the best state."""
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
