"""Search strategies by ask and tell, and the conductor that fixes the order of both."""

from typing import TYPE_CHECKING

from safs.registry import Registry
from safs.search.lahc import LateAcceptance
from safs.search.random import RandomSearch
from safs.search.strategy import Strategy, StrategyEntry

if TYPE_CHECKING:
    from ConfigSpace import ConfigurationSpace


def _make_smac(space: "ConfigurationSpace", *, trials: int, epochs: int, seed: int) -> Strategy:
    from safs.search.smac import Smac  # Imports smac, which takes seconds that listing the strategies must not cost.

    return Smac(space, trials=trials, epochs=epochs, seed=seed)


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
            stages=("activations", "tune"),
        ),
        "smac": StrategyEntry(
            make=_make_smac,
            summary="SMAC3: Bayesian optimisation with a random forest, SAFS's own search for hyperparameters",
            stages=("activations", "tune"),
        ),
    },
)

__all__ = ["STRATEGIES", "Strategy", "StrategyEntry"]
