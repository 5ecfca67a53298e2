"""SMAC3: Bayesian optimisation with a random forest, the second stage of SAFS.

Importing this module imports smac, which takes seconds.
"""

import logging
from collections.abc import Iterable, Iterator
from copy import deepcopy
from itertools import islice
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from ConfigSpace import Configuration, ConfigurationSpace
from ConfigSpace.util import get_one_exchange_neighbourhood
from numpy.typing import NDArray
from smac import HyperparameterOptimizationFacade, Scenario
from smac.acquisition.maximizer import AbstractAcquisitionMaximizer
from smac.initial_design import SobolInitialDesign
from smac.main.config_selector import ConfigSelector
from smac.main.exceptions import ConfigurationSpaceExhaustedException
from smac.model.random_forest import RandomForest
from smac.runhistory import StatusType, TrialInfo, TrialValue

from safs.search.history import CRASH_LOSS, kept
from safs.search.strategy import NO_OPTIONS, REDRAWS, Point, Proposals, plain_config, point_of
from safs.spec.options import NoOptions
from safs.trials import Candidate, Outcome

LEARNS_FROM = 300
"""Largest number of outcomes for a fit of the forest; see ``safs.search.history``."""
DRAWS, ROUNDS, STARTS, MOVES = 1000, 5, 3, 50
"""Effort of one ask: random draws, then rounds that make up to ``MOVES`` moves from each of the best ``STARTS``."""


class Smac:
    """SMAC3's HyperparameterOptimizationFacade by ask and tell, over any space.

    The first candidate is the space's default configuration. Sobol points follow, then points that the forest finds
    promising; one in five is a random draw. No configuration is proposed twice, so the search ends early in a small
    space. The forest is fitted for each ask, on at most ``LEARNS_FROM`` outcomes. By SMAC's default it is fitted for
    every eighth candidate, which is twice in twenty trials. The forest ignores candidates in flight, but they are not
    proposed again. A foreign trial is an observation like any other.

    Each fit and search draws from generators of its own, seeded by the number of candidates so far. So a recorded
    candidate is repeated without a fit, and the candidates after it are the same.

    Lindauer et al., "SMAC3", JMLR 23 (2022), arXiv:2109.09831.
    """

    asks_ahead = True

    def __init__(
        self, space: ConfigurationSpace, *, trials: int, epochs: int, seed: int, options: NoOptions = NO_OPTIONS
    ) -> None:
        self._proposals = Proposals(epochs=epochs, seed=seed)
        self._asked: dict[int, TrialInfo] = {}
        self._exhausted = False
        self._smac = make_facade(space, trials=trials, seed=seed)
        self.expected_trials = trials

    def ask(self) -> Candidate | None:
        if self._exhausted or self._proposals.made >= self.expected_trials:
            return None
        try:
            trial = self._smac.ask()
        except (ConfigurationSpaceExhaustedException, StopIteration):
            self._exhausted = True
            return None
        candidate = self._proposals.propose(plain_config(trial.config))
        self._asked[candidate.number] = trial
        return candidate

    def repeat(self, recorded: Candidate) -> Candidate | None:
        selector = self._smac.intensifier.config_selector
        assert isinstance(selector, Selector)
        selector.given = _Known(self._smac.scenario.configspace, values=recorded.config)
        return self.ask()

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        own = self._proposals.told(candidate)
        trial = self._asked.pop(candidate.number) if own else self._foreign(candidate)
        self._smac.tell(trial, trial_value(outcome), save=False)

    def _foreign(self, candidate: Candidate) -> TrialInfo:
        """Register a trial that SMAC did not propose, so that SMAC will not propose it."""
        config = _Known(self._smac.scenario.configspace, values=candidate.config)
        self._smac.intensifier.config_selector._processed_configs.append(config)
        if not self._smac.intensifier._tf_instances:  # Before the first ask SMAC has not drawn its seed yet.
            self._smac.intensifier.__post_init__()
        (key,) = self._smac.intensifier.get_instance_seed_keys_of_interest()  # SMAC uses one seed for all trials.
        return TrialInfo(config, instance=key.instance, seed=key.seed)


def trial_value(outcome: Outcome) -> TrialValue:
    """The outcome as SMAC's TrialValue; a failed trial has the cost ``CRASH_LOSS``."""
    if outcome.error is not None or not isfinite(outcome.loss):
        return TrialValue(cost=CRASH_LOSS, time=outcome.seconds, status=StatusType.CRASHED)
    return TrialValue(cost=outcome.loss, time=outcome.seconds)


def make_facade(space: ConfigurationSpace, *, trials: int, seed: int) -> HyperparameterOptimizationFacade:
    """SMAC's facade over a copy of ``space``, with fast, silent and repeatable settings (decision 011)."""
    # SMAC logs its own settings and retries, which users do not need, and exhausted spaces, which are handled here.
    logging.getLogger("smac").setLevel(logging.CRITICAL)
    with TemporaryDirectory() as folder:
        # SMAC writes its empty state when it is made. With save=False in every tell it never writes again.
        scenario = Scenario(
            deepcopy(space), deterministic=True, n_trials=trials, seed=seed, output_directory=Path(folder)
        )
        return HyperparameterOptimizationFacade(
            scenario,
            model=forest(scenario),
            acquisition_maximizer=Maximizer(scenario.configspace, challengers=DRAWS, seed=seed),
            config_selector=Selector(scenario, retrain_after=1, max_new_config_tries=REDRAWS),
            initial_design=DefaultFirst(scenario),
            intensifier=HyperparameterOptimizationFacade.get_intensifier(scenario, max_config_calls=1),
            logging_level=False,
            overwrite=True,  # Otherwise SMAC asks on standard input what to do with an older run.
        )


def forest(scenario: Scenario) -> RandomForest:
    """The facade's own forest, with two faster settings.

    It runs on one thread, since distributing ten small trees takes longer than fitting them. It has room for as many
    leaves as there can be points. For the facade's 2**20 leaves, scikit-learn allocates 100 MB per tree, which takes
    nine tenths of the time of an ask.
    """
    return RandomForest(
        scenario.configspace,
        log_y=True,
        n_trees=10,
        ratio_features=1.0,
        min_samples_split=2,
        min_samples_leaf=1,
        max_leaf_nodes=max(scenario.n_trials, 2),
        seed=scenario.seed,
        n_jobs=1,
    )


class Selector(ConfigSelector):
    """SMAC's loop of fit and search, with a bounded time per fit and one prediction for all past trials."""

    given: Configuration | None = None
    """The next point, if it is known; None searches for it."""
    _points = 0
    """Number of points so far."""

    def __iter__(self) -> Iterator[Configuration]:
        found = super().__iter__()
        while True:
            config, self.given = self.given, None
            if config is None:
                try:
                    drawn = next(found)
                except StopIteration:
                    return
                # The vector of a point that is read from a record differs in its last digits from the one drawn.
                config = _Known(self._scenario.configspace, values=plain_config(drawn), origin=drawn.origin)
            else:
                self._processed_configs.append(config)
            self._points += 1
            yield config

    @property
    def _processed_configs(self) -> "_Seen":
        return self._seen

    @_processed_configs.setter
    def _processed_configs(self, configs: Iterable[Configuration]) -> None:
        self._seen = _Seen(configs)

    def _seed_generators(self) -> None:
        """Seed all generators of a search by the number of points so far."""
        assert self._acquisition_maximizer is not None
        assert self._random_design is not None
        sequence = np.random.SeedSequence((self._scenario.seed, self._points))
        space, maximizer, design = (int(seed) for seed in sequence.generate_state(3))
        self._scenario.configspace.seed(space)
        self._acquisition_maximizer._rng = np.random.RandomState(maximizer)
        self._random_design._rng = np.random.RandomState(design)

    def _collect_data(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        self._seed_generators()
        configs, costs, evaluated = super()._collect_data()
        if len(costs) <= LEARNS_FROM:
            return configs, costs, evaluated
        self._previous_entries = (
            -1
        )  # SMAC fits again only if the number of entries has grown, but here it no longer grows.
        rows = kept(costs[:, 0].tolist(), LEARNS_FROM)
        return configs[rows], costs[rows], configs[rows]

    def _get_x_best(self, X: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:  # noqa: N803  # SMAC's name
        """The evaluated point with the forest's best prediction. SMAC's own method predicts one point at a time."""
        assert self._model is not None
        mean, _ = self._model.predict_marginalized(X)
        best = int(np.argmin(mean[:, 0]))
        return X[best], float(mean[best, 0])


class DefaultFirst(SobolInitialDesign):
    """The default configuration, then Sobol points, a quarter of the trials. SMAC would put the default last."""

    def select_configurations(self) -> list[Configuration]:
        default = self._configspace.get_default_configuration()
        return [default, *(point for point in super().select_configurations() if point != default)]


class Maximizer(AbstractAcquisitionMaximizer):
    """Finds points of high expected improvement by random draws, then by rounds of moves of one hyperparameter.

    It replaces SMAC's own maximizer for three reasons. That one is slow over many categoricals. Its starting points
    come from a set, so its candidates change with PYTHONHASHSEED. In SMAC 2.4.1 its local search drops every neighbour
    of a point with an inactive hyperparameter (NaN != NaN counts as a difference), so it finds no neighbours in a space
    with conditions.
    """

    def _maximize(self, previous_configs: list[Configuration], n_points: int) -> list[tuple[float, Configuration]]:
        found = self._sort_by_acquisition_value(
            [*self._configspace.sample_configuration(size=n_points), *previous_configs]
        )
        for _ in range(ROUNDS):
            moved = [moved for _, start in found[:STARTS] for moved in self._moves(start)]
            if not moved:  # There is no move if every hyperparameter has a single value.
                break
            found = sorted(found + self._sort_by_acquisition_value(moved), key=lambda pair: pair[0], reverse=True)
        # SMAC compares each of these with all trials, one by one, until it finds a new point.
        seen = {_key(config) for config in previous_configs}
        fresh = {_key(config): (value, config) for value, config in reversed(found) if _key(config) not in seen}
        # SMAC accepts no empty list, so it gets a known point and finds the space exhausted by itself.
        return list(reversed(fresh.values())) or found[:1]

    def _moves(self, start: Configuration) -> list[Configuration]:
        """One-exchange neighbours: every other category, and for numbers steps of 0.05 of the range."""
        seed = int(self._rng.randint(2**31))
        neighbours = get_one_exchange_neighbourhood(start, seed=seed, num_neighbors=4, stdev=0.05)
        return list(islice(neighbours, MOVES))


class _Known(Configuration):
    """A point that is compared by a key. SMAC compares points by the thousand, and ConfigSpace value by value."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._key = point_of(plain_config(self))
        self._hash = super().__hash__()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Configuration) and self._key == _point(other)

    def __hash__(self) -> int:
        return self._hash


class _Seen(list[Configuration]):
    """A list of points that finds a point by its hash. SMAC compares a proposal with all earlier ones, one by one."""

    def __init__(self, configs: Iterable[Configuration]) -> None:
        super().__init__(configs)
        self._points = {_point(config) for config in self}

    def append(self, config: Configuration) -> None:
        super().append(config)
        self._points.add(_point(config))

    def __contains__(self, config: object) -> bool:
        return isinstance(config, Configuration) and _point(config) in self._points


def _point(config: Configuration) -> Point:
    return config._key if isinstance(config, _Known) else point_of(plain_config(config))


def _key(config: Configuration) -> bytes:
    """A hashable key; equal configurations have equal keys."""
    return bytes(config.get_array().tobytes())
