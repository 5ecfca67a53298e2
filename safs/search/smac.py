"""SMAC3: Bayesian optimisation with a random forest, the second stage of SAFS.

Importing this module imports smac, which takes seconds.
"""

import logging
from copy import deepcopy
from itertools import islice
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory

from ConfigSpace import Configuration, ConfigurationSpace
from ConfigSpace.util import get_one_exchange_neighbourhood
from smac import HyperparameterOptimizationFacade, Scenario
from smac.acquisition.maximizer import AbstractAcquisitionMaximizer
from smac.initial_design import SobolInitialDesign
from smac.main.config_selector import ConfigSelector
from smac.main.exceptions import ConfigurationSpaceExhaustedException
from smac.model.random_forest import RandomForest
from smac.runhistory import StatusType, TrialInfo, TrialValue

from safs.search.strategy import Proposals, plain_config
from safs.trials import Candidate, Outcome

INITIAL_FRACTION = 0.25
"""Share of the trials that are asked before the forest is; SMAC's own."""
CRASH_COST = 1.0
"""What the forest learns of a trial that broke down: the loss of getting every image wrong. It takes no infinity."""
DRAWS, MOVE_ROUNDS, MOVE_STARTS, MOVES_PER_START = 500, 3, 3, 50
"""Effort of one ask; a few tenths of a second."""


class Smac:
    """SMAC3's HyperparameterOptimizationFacade by ask and tell, over any space.

    The first candidate is the space's default configuration, then come Sobol points, then what the forest finds
    promising (one in five is a random draw). No configuration is proposed twice; the search ends early when the space has
    no fresh ones. The forest is fitted anew for each ask, where SMAC's default is every eighth: twenty trials would fit
    it twice.

    Lindauer et al., "SMAC3", JMLR 23 (2022), arXiv:2109.09831.
    """

    asks_ahead = True

    def __init__(self, space: ConfigurationSpace, *, trials: int, epochs: int, seed: int) -> None:
        self._proposals = Proposals(epochs=epochs, seed=seed)
        self._asked: dict[int, TrialInfo] = {}
        self._exhausted = False
        self._smac = make_facade(space, trials=trials, seed=seed)
        self.expected_trials = trials

    def ask(self) -> Candidate | None:
        if self._exhausted or self._proposals.made == self.expected_trials:
            return None
        try:
            trial = self._smac.ask()
        except (ConfigurationSpaceExhaustedException, StopIteration):
            self._exhausted = True
            return None
        candidate = self._proposals.propose(plain_config(trial.config))
        self._asked[candidate.number] = trial
        return candidate

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        self._smac.tell(self._asked.pop(candidate.number), trial_value(outcome), save=False)


def trial_value(outcome: Outcome) -> TrialValue:
    """The outcome in SMAC's terms."""
    if outcome.error is not None or not isfinite(outcome.loss):
        return TrialValue(cost=CRASH_COST, time=outcome.seconds, status=StatusType.CRASHED)
    return TrialValue(cost=outcome.loss, time=outcome.seconds)


def make_facade(space: ConfigurationSpace, *, trials: int, seed: int) -> HyperparameterOptimizationFacade:
    """SMAC set up to be quick, quiet and repeatable, over a copy of ``space``."""
    # What SMAC logs (reduced initial designs, fruitless retries, an exhausted space) is dealt with here.
    logging.getLogger("smac").setLevel(logging.CRITICAL)
    with TemporaryDirectory() as folder:
        # SMAC insists on writing its empty state when it is made; told with save=False it never writes again.
        scenario = Scenario(
            deepcopy(space), deterministic=True, n_trials=trials, seed=seed, output_directory=Path(folder)
        )
        return HyperparameterOptimizationFacade(
            scenario,
            model=_forest(scenario),
            acquisition_maximizer=_Maximizer(scenario.configspace, challengers=DRAWS, seed=seed),
            config_selector=ConfigSelector(scenario, retrain_after=1),
            initial_design=_DefaultFirst(scenario, n_configs=int(INITIAL_FRACTION * trials)),
            intensifier=HyperparameterOptimizationFacade.get_intensifier(scenario, max_config_calls=1),
            logging_level=False,
            overwrite=True,  # Else it asks on standard input what to do with an older run.
        )


def _forest(scenario: Scenario) -> RandomForest:
    """The facade's own forest on one thread: handing a forest of ten trees to many costs more than it saves."""
    return RandomForest(
        scenario.configspace,
        log_y=True,
        n_trees=10,
        ratio_features=1.0,
        min_samples_split=2,
        min_samples_leaf=1,
        seed=scenario.seed,
        n_jobs=1,
    )


class _DefaultFirst(SobolInitialDesign):
    """The default configuration, then Sobol points; SMAC by itself would put the default last."""

    def select_configurations(self) -> list[Configuration]:
        default = self._configspace.get_default_configuration()
        return [default, *(point for point in super().select_configurations() if point != default)]


class _Maximizer(AbstractAcquisitionMaximizer):
    """Finds points of high expected improvement: random draws, then rounds of moves of one hyperparameter.

    In place of SMAC's local search, for three reasons. It takes seconds over many categoricals. Its starting points come
    out of a set, so its candidates change with PYTHONHASHSEED. And in SMAC 2.4.1 it drops every neighbour of a point
    that has an inactive hyperparameter (it takes NaN != NaN for a difference), so it stands still in a space with
    conditions.
    """

    def _maximize(self, previous_configs: list[Configuration], n_points: int) -> list[tuple[float, Configuration]]:
        found = self._sort_by_acquisition_value(
            [*self._configspace.sample_configuration(size=n_points), *previous_configs]
        )
        for _ in range(MOVE_ROUNDS):
            moved = self._sort_by_acquisition_value(
                [moved for _, start in found[:MOVE_STARTS] for moved in self._moves(start)]
            )
            found = sorted(found + moved, key=lambda valued: valued[0], reverse=True)
        return found

    def _moves(self, start: Configuration) -> list[Configuration]:
        """One-exchange neighbours: each category in place of the one there, and steps of 0.05 of a range."""
        seed = int(self._rng.randint(2**31))
        neighbours = get_one_exchange_neighbourhood(start, seed=seed, num_neighbors=4, stdev=0.05)
        return list(islice(neighbours, MOVES_PER_START))
