"""TPE and a Gaussian process: Optuna's samplers by ask and tell, over any space.

Importing this module imports optuna, and the first ask of ``Gp`` imports torch; both take seconds.
"""

import logging
from abc import ABC, abstractmethod
from copy import deepcopy
from itertools import islice
from typing import Any

from ConfigSpace import (
    CategoricalHyperparameter,
    Configuration,
    ConfigurationSpace,
    Constant,
    UniformFloatHyperparameter,
    UniformIntegerHyperparameter,
)
from ConfigSpace.hyperparameters import Hyperparameter
from ConfigSpace.util import deactivate_inactive_hyperparameters, get_one_exchange_neighbourhood
from optuna import create_study
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from safs.errors import SpecError
from safs.search.history import History
from safs.search.strategy import NO_OPTIONS, REDRAWS, Point, Proposals, plain_config, point_of
from safs.spec.options import NoOptions
from safs.trials import Candidate, Config, Outcome

STARTUP = 10
"""Largest number of random trials before the model is used. It is a quarter of the trials, from 3 to this number."""
LEARNS_FROM = 150
"""Largest number of outcomes for a fit; see ``History``. The time of a Gaussian process's fit grows with its cube."""


class _Sampled(ABC):
    """Proposes the suggestions of one of Optuna's samplers, after the space's default configuration.

    Each ask makes a new study and a new sampler. The study holds the outcomes told as finished trials and the
    candidates in flight as running ones. The sampler's seed is derived from the strategy's seed and the number of
    trials. So a proposal depends only on the outcomes that are known. A suggestion that was proposed before is replaced
    by a new random neighbour, or else by a new random draw. The search ends early if the space has no new points. A
    foreign trial is an observation like any other.
    """

    def __init__(
        self, space: ConfigurationSpace, *, trials: int, epochs: int, seed: int, learns_from: int, conditional: bool
    ) -> None:
        logging.getLogger("optuna").setLevel(logging.ERROR)  # Optuna logs every trial.
        self._space = deepcopy(space)  # Seeding and sampling change the space, which belongs to the caller.
        self._space.seed(seed)
        self._distributions = {name: distribution_of(parameter) for name, parameter in space.items()}
        self._defaults = plain_config({name: parameter.default_value for name, parameter in space.items()})
        self._conditional = conditional
        self._seed = seed
        self._startup = min(max(trials // 4, 3), STARTUP)
        self._proposals = Proposals(epochs=epochs, seed=seed)
        self._history = History(learns_from)
        self._running: dict[int, Config] = {}
        self._seen: set[Point] = set()
        self.expected_trials = trials

    def ask(self) -> Candidate | None:
        if self._proposals.made >= self.expected_trials:
            return None
        config = self._fresh(self._suggest() if self._seen else self._default())
        if config is None:
            return None
        self._seen.add(point_of(config))
        candidate = self._proposals.propose(config)
        self._running[candidate.number] = config
        return candidate

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        self._proposals.told(candidate)
        self._running.pop(candidate.number, None)
        self._seen.add(point_of(candidate.config))
        self._history.add(candidate, outcome)

    @abstractmethod
    def _sampler(self, seed: int) -> BaseSampler:
        """Optuna's sampler for one ask."""

    def _suggest(self) -> Config:
        # Consecutive asks have consecutive seeds, from which the generators draw independent numbers.
        study = create_study(sampler=self._sampler((self._seed * 10_007 + self._proposals.made) % 2**32))
        study.add_trials([self._trial(config, loss) for config, loss in self._history.learned()])
        study.add_trials([self._trial(config, None) for config in self._running.values()])
        return self._step_by_step(study) if self._conditional else self._at_once(study)

    def _at_once(self, study: Study) -> Config:
        """A joint suggestion for all hyperparameters, without those that are inactive in it."""
        values = study.ask(fixed_distributions=self._distributions).params
        return plain_config(deactivate_inactive_hyperparameters(values, self._space))

    def _step_by_step(self, study: Study) -> Config:
        """A suggestion for one hyperparameter after the other, each if the earlier ones make it active."""
        trial = study.ask()
        config: Config = {}
        for (
            name,
            distribution,
        ) in self._distributions.items():  # ConfigSpace lists parents before the hyperparameters that depend on them.
            conditions = self._space.parent_conditions_of[name]
            parents = {parent.name for parent in self._space.parents_of[name]}
            if parents <= set(config) and all(condition.satisfied_by_value(config) for condition in conditions):
                config[name] = _suggest(trial, name, distribution)
        return config

    def _trial(self, config: Config, loss: float | None) -> FrozenTrial:
        """A finished trial; a running one if ``loss`` is None."""
        params = dict(config) if self._conditional else self._defaults | config
        return create_trial(
            state=TrialState.RUNNING if loss is None else TrialState.COMPLETE,
            value=loss,
            params=params,
            distributions={name: self._distributions[name] for name in params},
        )

    def _default(self) -> Config:
        return plain_config(self._space.get_default_configuration())

    def _fresh(self, config: Config) -> Config | None:
        """``config`` if it is new, else a new neighbour or a new random point; None if none was found."""
        if point_of(config) not in self._seen:
            return config
        start = Configuration(self._space, values=config)
        neighbours = get_one_exchange_neighbourhood(start, seed=self._seed + self._proposals.made, num_neighbors=4)
        draws = (self._space.sample_configuration() for _ in range(REDRAWS))
        for points in (islice(neighbours, REDRAWS), draws):
            for point in points:
                found = plain_config(point)
                if point_of(found) not in self._seen:
                    return found
        return None


class Tpe(_Sampled):
    """The tree-structured Parzen estimator. It models each hyperparameter on its own, where the others make it active.

    Candidates in flight count as bad ones (a constant liar), so that points near them are not proposed again.

    Bergstra, Bardenet, Bengio & Kegl, "Algorithms for Hyper-Parameter Optimization", NIPS 2011; Optuna: Akiba et al.
    (2019), arXiv:1907.10902.

    Raises:
        SpecError: Optuna does not have this kind of hyperparameter.
    """

    asks_ahead = False

    def __init__(
        self, space: ConfigurationSpace, *, trials: int, epochs: int, seed: int, options: NoOptions = NO_OPTIONS
    ) -> None:
        super().__init__(space, trials=trials, epochs=epochs, seed=seed, learns_from=LEARNS_FROM, conditional=True)

    def _sampler(self, seed: int) -> BaseSampler:
        return TPESampler(n_startup_trials=self._startup, multivariate=False, constant_liar=True, seed=seed)


class Gp(_Sampled):
    """Bayesian optimisation with a Gaussian process: Matern 5/2 kernel, one length scale per hyperparameter, log EI.

    Inactive hyperparameters have their default value. With several candidates in flight, the expected improvement takes
    their possible outcomes into account (qLogEI).

    Ament et al., "Unexpected Improvements to Expected Improvement for Bayesian Optimization" (2023), arXiv:2310.20708;
    Optuna's GPSampler.

    Raises:
        SpecError: Optuna does not have this kind of hyperparameter.
    """

    asks_ahead = True

    def __init__(
        self, space: ConfigurationSpace, *, trials: int, epochs: int, seed: int, options: NoOptions = NO_OPTIONS
    ) -> None:
        super().__init__(space, trials=trials, epochs=epochs, seed=seed, learns_from=LEARNS_FROM, conditional=False)

    def _sampler(self, seed: int) -> BaseSampler:
        return GPSampler(n_startup_trials=self._startup, seed=seed)


def distribution_of(parameter: Hyperparameter[Any, Any]) -> BaseDistribution:
    """Optuna's distribution for a hyperparameter of a ConfigSpace.

    Raises:
        SpecError: Optuna does not have this kind of hyperparameter.
    """
    match parameter:
        case CategoricalHyperparameter():
            return CategoricalDistribution([_plain(choice) for choice in parameter.choices])
        case Constant():
            return CategoricalDistribution([_plain(parameter.value)])
        case UniformFloatHyperparameter():
            return FloatDistribution(float(parameter.lower), float(parameter.upper), log=parameter.log)
        case UniformIntegerHyperparameter():
            return IntDistribution(int(parameter.lower), int(parameter.upper), log=parameter.log)
    raise SpecError(
        f"{parameter.name!r} is a {type(parameter).__name__}, which Optuna does not have; use smac or random"
    )


def _suggest(trial: Trial, name: str, distribution: BaseDistribution) -> str | int | float:
    match distribution:
        case FloatDistribution():
            return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
        case IntDistribution():
            return trial.suggest_int(name, distribution.low, distribution.high, log=distribution.log)
    assert isinstance(distribution, CategoricalDistribution)
    choice = trial.suggest_categorical(name, distribution.choices)
    assert isinstance(choice, str | int | float)
    return choice


def _plain(value: Any) -> Any:
    return plain_config({"": value})[""]
