"""Search strategies by ask and tell, and the conductor that fixes the order of both."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from safs.options import NoOptions, parse_options
from safs.registry import Registry
from safs.search.lahc import LateAcceptance
from safs.search.random import RandomSearch
from safs.search.replay import Replayed
from safs.search.strategy import NO_OPTIONS, Strategy, StrategyEntry
from safs.search.warm_start import WarmStart
from safs.spec import SearchSpec
from safs.trials import Config

if TYPE_CHECKING:
    from ConfigSpace import ConfigurationSpace


def make_strategy(
    section: SearchSpec, space: "ConfigurationSpace", seed: int, *, firsts: Sequence[Config] = (), field: str
) -> Strategy:
    """The strategy that a section of a job asks for, over ``space``.

    Args:
        seed: of its own draws, and of every candidate's training.
        firsts: points of the space that are tried first and count among ``section.trials``.
        field: where the section stands in the job spec: ``activations``.

    Raises:
        UnknownNameError: no such strategy.
        SpecError: an option that the strategy does not take, or a space that it cannot search.
    """
    entry = STRATEGIES[section.strategy]
    options = parse_options(
        entry.options, section.options, what=f"strategy {section.strategy!r}", field=f"{field}.options"
    )
    strategy = entry.make(space, trials=section.trials, epochs=section.epochs, seed=seed, options=options)
    return WarmStart(strategy, firsts, epochs=section.epochs, seed=seed) if firsts else strategy


def _make_smac(
    space: "ConfigurationSpace", *, trials: int, epochs: int, seed: int, options: NoOptions = NO_OPTIONS
) -> Strategy:
    from safs.search.smac import Smac  # Imports smac, which takes seconds that listing the strategies must not cost.

    return Smac(space, trials=trials, epochs=epochs, seed=seed, options=options)


STRATEGIES: Registry[StrategyEntry] = Registry(
    "strategy",
    {
        "lahc": StrategyEntry(
            make=LateAcceptance,
            summary="late acceptance hill climbing, SAFS's own search for operators",
            stages=("activations",),
        ),
        "random": StrategyEntry(
            make=RandomSearch,
            summary="independent random draws, the baseline",
            stages=("activations", "tune", "joint"),
        ),
        "smac": StrategyEntry(
            make=_make_smac,
            summary="SMAC3: Bayesian optimisation with a random forest, SAFS's own search for hyperparameters",
            stages=("activations", "tune", "joint"),
        ),
    },
)

__all__ = ["STRATEGIES", "Replayed", "Strategy", "StrategyEntry", "WarmStart", "make_strategy"]
