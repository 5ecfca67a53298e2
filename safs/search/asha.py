"""ASHA: many short trials; the best third of them continues, and the best third of those again."""

from collections import deque
from collections.abc import Sequence
from copy import deepcopy
from math import isfinite
from typing import TYPE_CHECKING

from safs.search.strategy import REDRAWS, Point, Proposals, plain_config, point_of
from safs.spec.halving import HalvingOptions, halving_cost, levels, promoted
from safs.trials import Candidate, Config, Outcome, Trial

if TYPE_CHECKING:  # see strategy.py
    from ConfigSpace import ConfigurationSpace

DEFAULTS = HalvingOptions()


class Asha:
    """Asynchronous successive halving over epochs, with random configurations.

    Each of ``safs.spec.halving.levels`` has a rung. An ask promotes a trial that is among the best 1/eta of its rung
    and was not promoted yet, from the highest rung that has one. If there is none, it draws a configuration for the
    lowest rung. All trials train under the learning-rate schedule of the longest ones, and a promoted trial continues
    its own training. Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020,
    arXiv:1810.05934, algorithm 2.

    The first configurations are the space's default and ``firsts``. Equal accuracies on a rung are ordered by
    cross-entropy, then by age, the older trial first. Failed trials and trials that were stopped early count on their
    rung and are never promoted.

    Departures from the paper, in which the search never ends: it ends once ``trials`` configurations are drawn and no
    promotion is left. A rung that will receive no more trials promotes at least its best one, so that some trial is
    trained to the end.

    A foreign trial takes a place on the rung that it has reached if its schedule and seed are those of this search.
    Otherwise it counts as a configuration, and its point is not drawn again.
    """

    asks_ahead = False

    def __init__(
        self,
        space: "ConfigurationSpace",
        *,
        trials: int,
        epochs: int,
        seed: int,
        options: HalvingOptions = DEFAULTS,
        firsts: Sequence[Config] = (),
    ) -> None:
        self._levels, self._eta, self._seed = levels(epochs, options), options.eta, seed
        self._rungs = [Rung() for _ in self._levels]
        self._draws, self._left = Draws(space, seed, firsts), trials
        self._proposals = Proposals(epochs=epochs, seed=seed)
        self._at: dict[int, int] = {}
        """Number -> rung of the candidates that are in flight."""
        self.expected_trials = halving_cost(trials, self._levels, options.eta).trials

    def ask(self) -> Candidate | None:
        for index in reversed(range(len(self._rungs) - 1)):
            if (trial := self._rungs[index].promotable(self._quota(index))) is not None:
                self._rungs[index].gone.add(trial.candidate.number)
                return self._propose(trial.candidate.config, index + 1, continues=trial.candidate.number)
        if self._left <= 0 or (config := self._draws.draw()) is None:
            if self._left > 0:  # The space is exhausted, so no rung will receive more configurations.
                self._left = 0
                return self.ask()
            return None
        self._left -= 1
        return self._propose(config, 0)

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        index = self._at.pop(candidate.number) if self._proposals.told(candidate) else self._adopt(candidate)
        if index is not None:
            self._rungs[index].trials.append(Trial(candidate, outcome))

    def _quota(self, index: int) -> int:
        """Number of a rung's trials that may be promoted."""
        full = self._left <= 0 and all(at > index for at in self._at.values())
        count = len(self._rungs[index].trials)
        return promoted(count, self._eta) if full and count else count // self._eta

    def _propose(self, config: Config, index: int, continues: int | None = None) -> Candidate:
        candidate = self._proposals.propose(
            config, epochs=self._levels[index], horizon=self._levels[-1], continues=continues
        )
        self._at[candidate.number] = index
        return candidate

    def _adopt(self, candidate: Candidate) -> int | None:
        """The rung that a foreign candidate has reached; None if no trial can continue it."""
        self._draws.skip(candidate.config)
        index = max((i for i, level in enumerate(self._levels) if level <= candidate.epochs), default=0)
        if candidate.continues is None:
            self._left -= 1
        else:
            for rung in self._rungs[:index]:
                rung.gone.add(candidate.continues)
        return index if continues_as(candidate, self._levels[-1], self._seed) else None


class Rung:
    """Trials that have reached the same epoch."""

    def __init__(self) -> None:
        self.trials: list[Trial] = []
        self.gone: set[int] = set()
        """Numbers of the trials that were promoted."""

    def promotable(self, quota: int) -> Trial | None:
        """The best trial that was not promoted, if it is among the best ``quota``."""
        best = from_the_best(self.trials)[:quota]
        return next((trial for trial in best if trial.candidate.number not in self.gone), None)


class Draws:
    """Draws distinct points of a space: its default, then ``firsts``, then random points."""

    def __init__(self, space: "ConfigurationSpace", seed: int, firsts: Sequence[Config]) -> None:
        self._space = deepcopy(space)  # Seeding and sampling change the space, which belongs to the caller.
        self._space.seed(seed)
        self._waiting = deque([plain_config(space.get_default_configuration()), *firsts])
        self._seen: set[Point] = set()

    def draw(self) -> Config | None:
        """The next point; None if no new one was found in ``REDRAWS`` draws."""
        for _ in range(len(self._waiting) + REDRAWS):
            config = self._waiting.popleft() if self._waiting else plain_config(self._space.sample_configuration())
            if point_of(config) not in self._seen:
                self.skip(config)
                return config
        return None

    def skip(self, config: Config) -> None:
        """Exclude a point from all further draws."""
        self._seen.add(point_of(config))


def from_the_best(trials: Sequence[Trial]) -> list[Trial]:
    """The trials that may be promoted, best first: those that neither failed nor were stopped early."""
    return sorted((trial for trial in trials if is_sound(trial.outcome)), key=lambda trial: trial.rank)


def is_sound(outcome: Outcome) -> bool:
    """True if the trial may be promoted: it did not fail and was not stopped early."""
    return outcome.error is None and outcome.left is None and isfinite(outcome.loss)


def continues_as(candidate: Candidate, horizon: int, seed: int) -> bool:
    """True if a trial with this horizon and seed can resume the candidate's training."""
    return (candidate.horizon or candidate.epochs, candidate.seed) == (horizon, seed)
