"""Schedules: the sparsity that a network has after a share of the training.

Progress is the share of the pruning's training that is done, in [0, 1]; at 1 every schedule gives exactly ``final``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, exp, floor, pi
from typing import Any

from pydantic import Field, model_validator

from safs.registry import Registry
from safs.spec.options import NoOptions, Options


class IterativeOptions(Options):
    """Options of the schedule ``iterative``."""

    rounds: int = Field(5, ge=1, le=1000, description="number of rounds; each prunes, then trains")
    rewind: bool = Field(True, description="true: weights return to their first values before each training")


class GradualOptions(Options):
    """Options of the schedules ``cubic`` and ``one_cycle``."""

    begin: float = Field(0.0, ge=0, lt=1, description="share of the training before the first pruning")
    end: float = Field(0.75, gt=0, le=1, description="share of the training after which the sparsity is final")

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> "GradualOptions":
        if self.begin >= self.end:
            raise ValueError(f"begin ({self.begin}) must be below end ({self.end})")
        return self


class CyclicOptions(GradualOptions):
    """Options of the schedule ``cyclic``, which has the final sparsity before ``begin`` too."""

    cycles: int = Field(2, ge=1, le=1000, description="number of times the density rises and falls")
    peak: float = Field(3.0, ge=1, allow_inf_nan=False, description="highest density, as a multiple of the final one")


@dataclass(frozen=True, slots=True)
class Schedule:
    """The course of the sparsity up to its final value."""

    summary: str
    source: str
    """Author, year and arXiv id of the paper."""
    trains: bool
    """True if it prunes while training; False if it prunes all at once, without training."""
    options: type[Options]
    sparsity_at: Callable[[float, float, Any], float]
    """(progress, final sparsity, instance of ``options``) -> sparsity at that progress."""


def one_shot(progress: float, final: float, options: NoOptions) -> float:
    """Returns ``final`` from the start."""
    return final


def iterative(progress: float, final: float, options: IterativeOptions) -> float:
    """Removes the same share of the live weights in each round: density (1 - final)^(k / rounds) in round k = 1, 2, ...

    Han, Pool, Tran, Dally, "Learning both Weights and Connections" (2015), arXiv:1506.02626; with ``rewind`` Frankle
    and Carbin, "The Lottery Ticket Hypothesis" (2019), arXiv:1803.03635.

    >>> [round(iterative(done, 0.875, IterativeOptions(rounds=3)), 3) for done in (0, 0.4, 0.7, 1)]
    [0.5, 0.75, 0.875, 0.875]
    """
    begun = floor(progress * options.rounds + 1e-9) + 1  # 0.29 * 100 is 28.999...
    return final if begun >= options.rounds else 1 - (1 - final) ** (begun / options.rounds)


def cubic(progress: float, final: float, options: GradualOptions) -> float:
    """final (1 - (1 - t)^3), with t from 0 at ``begin`` to 1 at ``end``.

    Zhu and Gupta, "To prune, or not to prune" (2017), arXiv:1710.01878, from sparsity 0 on.

    >>> cubic(0.25, 0.8, GradualOptions(end=0.5))
    0.7000000000000001
    """
    t = _position(progress, options)
    return final if t >= 1 else final * (1 - (1 - max(t, 0.0)) ** 3)


def one_cycle(progress: float, final: float, options: GradualOptions) -> float:
    """final (1 + e^(-a + b)) / (1 + e^(-a t + b)), a = 14, b = 6, with t from 0 at ``begin`` to 1 at ``end``.

    Hubens, Mancas, Gosselin, Preda, Zaharia, "One-Cycle Pruning" (2021), arXiv:2107.02086; the formula is that of the
    first author's library fasterai, from sparsity 0 on. It starts with a jump to 0.0025 final.

    >>> round(one_cycle(6 / 14, 0.8, GradualOptions(end=1)), 4)
    0.4001
    """
    t = _position(progress, options)
    if t >= 1:
        return final
    return 0.0 if t < 0 else final * (1 + exp(-14 + 6)) / (1 + exp(-14 * t + 6))


def cyclic(progress: float, final: float, options: CyclicOptions) -> float:
    """Density d (1 + (peak - 1) (1 - cos 2 pi t) / 2), with final density d and t from 0 to 1 in each cycle.

    Li, Durrant, Markovic, Huang, Kundu, Chen, Yin, Leontidis, "Pushing the Limits of Sparsity" (2025),
    arXiv:2411.13545, as in their code. A cycle begins and ends at the final sparsity. The density is at most 1.

    >>> [round(cyclic(done, 0.9, CyclicOptions(cycles=1, end=1)), 3) for done in (0, 0.25, 0.5, 1)]
    [0.9, 0.8, 0.7, 0.9]
    """
    t = _position(progress, options)
    if not 0 < t < 1:
        return final
    lowest = 1 - final
    rise = min(1.0, options.peak * lowest) - lowest
    return final - rise * (1 - cos(2 * pi * options.cycles * t)) / 2


def _position(progress: float, options: GradualOptions) -> float:
    return (progress - options.begin) / (options.end - options.begin)


PRUNING_SCHEDULES: Registry[Schedule] = Registry(
    "pruning schedule",
    {
        "one_shot": Schedule("all at once, without training", "", False, NoOptions, one_shot),
        "iterative": Schedule(
            "in rounds that each remove the same share of the live weights, then train",
            "Han et al. (2015), arXiv:1506.02626",
            True,
            IterativeOptions,
            iterative,
        ),
        "cubic": Schedule(
            "while training, fast at first, then slower",
            "Zhu and Gupta (2017), arXiv:1710.01878",
            True,
            GradualOptions,
            cubic,
        ),
        "one_cycle": Schedule(
            "while training, slow at first, then fast, then slow",
            "Hubens et al. (2021), arXiv:2107.02086",
            True,
            GradualOptions,
            one_cycle,
        ),
        "cyclic": Schedule(
            "while training, in cycles from the final sparsity to more weights and back",
            "Li et al. (2025), arXiv:2411.13545",
            True,
            CyclicOptions,
            cyclic,
        ),
    },
)
