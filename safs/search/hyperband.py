"""Hyperband with SMAC3's random forest: successive halving, in brackets, of configurations that the model proposes.

Importing this module imports smac, which takes seconds.
"""

import logging
from collections import deque
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory

from ConfigSpace import Configuration, ConfigurationSpace
from smac import MultiFidelityFacade, Scenario
from smac.main.exceptions import ConfigurationSpaceExhaustedException
from smac.runhistory import TrialInfo

from safs.search.asha import DEFAULTS, continues_as, from_the_best
from safs.search.smac import DRAWS, DefaultFirst, Maximizer, Selector, forest, trial_value
from safs.search.strategy import REDRAWS, Point, Proposals, plain_config, point_of
from safs.spec.halving import HalvingOptions, brackets, hyperband_cost, levels, promoted
from safs.trials import Candidate, Config, Outcome, Trial

ENOUGH = 6
"""Number of trials that a level needs for the forest to learn from it. It learns from the highest such level."""


class Hyperband:
    """Hyperband's brackets over epochs, with configurations that SMAC3's forest proposes (as BOHB, with a forest).

    All trials of a level of a bracket are compared before the best of them continue to the next level. While outcomes
    are awaited, configurations of the next bracket are tried. The brackets are those of
    ``safs.spec.halving.brackets``, until they hold ``trials`` configurations; then the remaining promotions run and the
    search ends. All trials train under the learning-rate schedule of the longest ones, and a promoted trial continues
    its own training. The first configurations are the space's default and ``firsts``. Equal accuracies are ordered by
    cross-entropy, then by age, the older trial first. Failed trials and trials that were stopped early are never
    promoted.

    The model is that of SMAC3's MultiFidelityFacade, with the settings of ``safs.search.smac``. It learns from the
    highest level that has ``ENOUGH`` trials. Decision 016 says why the brackets are implemented here.

    The model learns from a foreign trial as from any other. The trial takes a place in the current bracket if it fits.

    Li et al. 2018, arXiv:1603.06560; Falkner et al., "BOHB", 2018, arXiv:1807.01774; Lindauer et al. 2022,
    arXiv:2109.09831.
    """

    asks_ahead = True

    def __init__(
        self,
        space: ConfigurationSpace,
        *,
        trials: int,
        epochs: int,
        seed: int,
        options: HalvingOptions = DEFAULTS,
        firsts: Sequence[Config] = (),
    ) -> None:
        self._levels, self._eta, self._seed = levels(epochs, options), options.eta, seed
        self._planned = brackets(trials, len(self._levels), options.eta)
        self._brackets: list[Bracket] = []
        self._left = trials
        self._model = Model(space, trials, self._levels, seed, firsts)
        self._proposals = Proposals(epochs=epochs, seed=seed)
        self._of: dict[int, Bracket] = {}
        """Number of a candidate in flight -> its bracket."""
        self.expected_trials = hyperband_cost(trials, self._levels, options.eta).trials

    def ask(self) -> Candidate | None:
        if (promotion := self._promotion()) is not None:
            return promotion
        if self._left > 0 and (bracket := self._open_bracket()) is not None:
            if (config := self._model.draw()) is not None:
                self._left -= 1
                bracket.room -= 1
                return self._propose(bracket, config)
            self._left = 0  # The space is exhausted.
        for bracket in self._brackets:
            bracket.close()
        return self._promotion()

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        trial = Trial(candidate, outcome)
        if self._proposals.told(candidate):
            self._of.pop(candidate.number).tell(trial)
        else:
            self._adopt(trial)
        level = max((level for level in self._levels if level <= candidate.epochs), default=self._levels[0])
        self._model.learn(candidate.config, level, outcome)

    def _promotion(self) -> Candidate | None:
        for bracket in self._brackets:
            if bracket.waiting:
                before = bracket.waiting.popleft().candidate
                return self._propose(bracket, before.config, continues=before.number)
        return None

    def _open_bracket(self) -> "Bracket | None":
        """The bracket that takes new configurations; None if all brackets are full."""
        if not self._brackets or not self._brackets[-1].room:
            begun = next(self._planned, None)
            if begun is None:
                return None
            self._brackets.append(Bracket(*begun, last=len(self._levels) - 1, eta=self._eta))
        return self._brackets[-1]

    def _propose(self, bracket: "Bracket", config: Config, continues: int | None = None) -> Candidate:
        candidate = self._proposals.propose(
            config, epochs=self._levels[bracket.level], horizon=self._levels[-1], continues=continues
        )
        bracket.awaited += 1
        self._of[candidate.number] = bracket
        return candidate

    def _adopt(self, trial: Trial) -> None:
        """Put a foreign trial in the place of the candidate that would have been proposed, if it fits there."""
        candidate = trial.candidate
        self._model.skip(candidate.config)
        if candidate.continues is not None:
            for bracket in self._brackets:
                bracket.adopt_promoted(trial)
            return
        self._left -= 1
        if self._left < 0 or not continues_as(candidate, self._levels[-1], self._seed):
            return
        begun = self._open_bracket()
        if begun is not None and self._levels[begun.level] == candidate.epochs:
            begun.room -= 1
            begun.awaited += 1
            begun.tell(trial)


class Bracket:
    """Successive halving of the configurations that begin at one level.

    Args:
        level: index of the level at which the bracket begins.
        room: number of configurations that the bracket can still take.
        last: index of the last level.
    """

    def __init__(self, level: int, room: int, *, last: int, eta: int) -> None:
        self.level, self.room = level, room
        self.awaited = 0
        self.waiting: deque[Trial] = deque()
        """Promoted trials that were not yet proposed at the current level."""
        self._last, self._eta = last, eta
        self._told: list[Trial] = []

    def tell(self, trial: Trial) -> None:
        """Record a trial of the current level."""
        self.awaited -= 1
        self._told.append(trial)
        self._advance()

    def adopt_promoted(self, trial: Trial) -> None:
        """Record a foreign trial that continues a trial of this bracket, in place of that promotion."""
        for before in self.waiting:
            if before.candidate.number == trial.candidate.continues:
                self.waiting.remove(before)
                self.awaited += 1
                self.tell(trial)
                return

    def close(self) -> None:
        """Take no more configurations."""
        self.room = 0
        self._advance()

    def _advance(self) -> None:
        if self.room or self.awaited or self.waiting or not self._told or self.level == self._last:
            return
        self.waiting.extend(from_the_best(self._told)[: promoted(len(self._told), self._eta)])
        self._told = []
        self.level += 1


class Model:
    """Proposes distinct configurations: the space's default, ``firsts``, Sobol points, then points from SMAC's forest.

    Args:
        trials: number of configurations that will be drawn.
        at: levels, in epochs.
    """

    def __init__(
        self, space: ConfigurationSpace, trials: int, at: tuple[int, ...], seed: int, firsts: Sequence[Config]
    ) -> None:
        self._facade = make_facade(space, trials, at, seed)
        self._waiting = deque([plain_config(space.get_default_configuration()), *firsts])
        self._seen: set[Point] = set()

    def draw(self) -> Config | None:
        """The next configuration; None if no new one was found."""
        for _ in range(len(self._waiting) + REDRAWS):
            try:
                config = self._waiting.popleft() if self._waiting else self._proposed()
            except (ConfigurationSpaceExhaustedException, StopIteration):
                return None
            if point_of(config) not in self._seen:
                self.skip(config)
                return config
        return None

    def skip(self, config: Config) -> None:
        """Exclude a configuration from all further draws."""
        self._seen.add(point_of(config))

    def learn(self, config: Config, level: int, outcome: Outcome) -> None:
        """Tell the model the outcome of a configuration at a level."""
        point = Configuration(self._facade.scenario.configspace, values=config)
        self._facade.tell(TrialInfo(point, seed=0, budget=float(level)), trial_value(outcome), save=False)

    def _proposed(self) -> Config:
        return plain_config(next(self._facade.intensifier.config_generator))


def make_facade(space: ConfigurationSpace, trials: int, at: tuple[int, ...], seed: int) -> MultiFidelityFacade:
    """SMAC's MultiFidelityFacade over a copy of ``space``, with the settings of ``safs.search.smac``."""
    logging.getLogger("smac").setLevel(logging.CRITICAL)
    with TemporaryDirectory() as folder:
        scenario = Scenario(
            deepcopy(space),
            deterministic=True,
            n_trials=trials,
            min_budget=at[0],
            max_budget=at[-1],
            seed=seed,
            output_directory=Path(folder),
        )
        return MultiFidelityFacade(
            scenario,
            model=forest(scenario),
            acquisition_maximizer=Maximizer(scenario.configspace, challengers=DRAWS, seed=seed),
            config_selector=Selector(
                scenario, retrain_after=1, max_new_config_tries=REDRAWS, min_trials=min(ENOUGH, trials)
            ),
            initial_design=DefaultFirst(scenario),
            logging_level=False,
            overwrite=True,
        )
