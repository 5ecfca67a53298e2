"""Search strategies by ask and tell, and the conductor that fixes the order of both."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from safs.registry import Registry
from safs.search.annealing import Annealing, AnnealingOptions
from safs.search.asha import DEFAULTS, Asha
from safs.search.exchange import Exchange, ExchangeOptions
from safs.search.genetic import Genetic, GeneticOptions
from safs.search.lahc import LateAcceptance
from safs.search.random import RandomSearch
from safs.search.replay import Replayed
from safs.search.strategy import NO_OPTIONS, Strategy, StrategyEntry
from safs.search.warm_start import WarmStart
from safs.spec.halving import HalvingOptions
from safs.spec.options import NoOptions, parse_options
from safs.spec.searches import SearchSpec
from safs.trials import Config

if TYPE_CHECKING:
    from ConfigSpace import ConfigurationSpace


def make_strategy(
    section: SearchSpec, space: "ConfigurationSpace", seed: int, *, firsts: Sequence[Config] = (), field: str
) -> Strategy:
    """Make the strategy that a section of a job names, over ``space``.

    Args:
        seed: seed of the strategy's draws and of every candidate's training.
        firsts: points of the space that are tried first. They count as trials of the section.
        field: path of the section in the job spec, such as ``activations``.

    Raises:
        UnknownNameError: no strategy has this name.
        SpecError: the strategy does not have one of the options, or cannot search this space.
    """
    entry = STRATEGIES[section.strategy]
    options = parse_options(
        entry.options, section.options, what=f"strategy {section.strategy!r}", field=f"{field}.options"
    )
    make: Callable[..., Strategy] = partial(
        entry.make, space, trials=section.trials, epochs=section.epochs, seed=seed, options=options
    )
    if entry.multi_fidelity:  # The first candidates start with short trials too, and are promoted if they are good.
        return make(firsts=firsts)
    strategy = make()
    return WarmStart(strategy, firsts, epochs=section.epochs, seed=seed) if firsts else strategy


# The functions below import smac and optuna when they are called, since the imports take seconds and the list of
# strategies is needed without them.


def _make_smac(
    space: "ConfigurationSpace", *, trials: int, epochs: int, seed: int, options: NoOptions = NO_OPTIONS
) -> Strategy:
    from safs.search.smac import Smac

    return Smac(space, trials=trials, epochs=epochs, seed=seed, options=options)


def _make_tpe(
    space: "ConfigurationSpace", *, trials: int, epochs: int, seed: int, options: NoOptions = NO_OPTIONS
) -> Strategy:
    from safs.search.optuna import Tpe

    return Tpe(space, trials=trials, epochs=epochs, seed=seed, options=options)


def _make_gp(
    space: "ConfigurationSpace", *, trials: int, epochs: int, seed: int, options: NoOptions = NO_OPTIONS
) -> Strategy:
    from safs.search.optuna import Gp

    return Gp(space, trials=trials, epochs=epochs, seed=seed, options=options)


def _make_hyperband(
    space: "ConfigurationSpace",
    *,
    trials: int,
    epochs: int,
    seed: int,
    options: HalvingOptions = DEFAULTS,
    firsts: Sequence[Config] = (),
) -> Strategy:
    from safs.search.hyperband import Hyperband

    return Hyperband(space, trials=trials, epochs=epochs, seed=seed, options=options, firsts=firsts)


_SITES = ("activations",)
_ALL = ("activations", "tune", "joint")

STRATEGIES: Registry[StrategyEntry] = Registry(
    "strategy",
    {
        "lahc": StrategyEntry(
            make=LateAcceptance,
            summary="late acceptance hill climbing, SAFS's own search for operators",
            stages=_SITES,
            source="Burke & Bykov, EJOR 258 (2017), as in Loni et al., arXiv:2305.10964",
        ),
        "annealing": StrategyEntry(
            make=Annealing,
            summary="simulated annealing: worse states are accepted, less and less",
            stages=_SITES,
            options=AnnealingOptions,
            source="Kirkpatrick, Gelatt & Vecchi, Science 220 (1983)",
        ),
        "genetic": StrategyEntry(
            make=Genetic,
            summary="a genetic algorithm: tournaments, uniform crossover, mutation, elites",
            stages=_SITES,
            options=GeneticOptions,
            source="Holland (1975); Syswerda, ICGA 1989",
        ),
        "exchange": StrategyEntry(
            make=Exchange,
            summary="a climb that changes one site at a time, with a random kick at local optima",
            stages=_SITES,
            options=ExchangeOptions,
            source="iterated local search: Lourenço, Martin & Stützle (2003)",
        ),
        "random": StrategyEntry(
            make=RandomSearch,
            summary="independent random draws, the baseline",
            stages=_ALL,
        ),
        "smac": StrategyEntry(
            make=_make_smac,
            summary="SMAC3: Bayesian optimisation with a random forest, SAFS's own search for hyperparameters",
            stages=_ALL,
            source="Lindauer et al., arXiv:2109.09831",
        ),
        "tpe": StrategyEntry(
            make=_make_tpe,
            summary="tree-structured Parzen estimator: models each hyperparameter on its own, proposes quickly",
            stages=_ALL,
            source="Bergstra et al., NIPS 2011; Optuna, arXiv:1907.10902",
        ),
        "gp": StrategyEntry(
            make=_make_gp,
            summary="Bayesian optimisation with a Gaussian process, for few and expensive trials; proposals are slow",
            stages=_ALL,
            source="Ament et al., arXiv:2310.20708; Optuna's GPSampler",
        ),
        "asha": StrategyEntry(
            make=Asha,
            summary="asynchronous successive halving: random configurations, the best of which are trained longer",
            stages=_ALL,
            options=HalvingOptions,
            multi_fidelity=True,
            source="Li et al., arXiv:1810.05934",
        ),
        "hyperband": StrategyEntry(
            make=_make_hyperband,
            summary="Hyperband: SMAC3's random forest proposes configurations, the best of which are trained longer",
            stages=_ALL,
            options=HalvingOptions,
            multi_fidelity=True,
            source="Li et al., arXiv:1603.06560; SMAC3, arXiv:2109.09831",
        ),
    },
)

__all__ = ["STRATEGIES", "Replayed", "Strategy", "StrategyEntry", "WarmStart", "make_strategy"]
