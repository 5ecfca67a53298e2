"""Successive halving in numbers: the epochs at which trials are compared, and the cost of a search."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, pairwise
from math import ceil, log

from pydantic import Field

from safs.spec.options import Options


class HalvingOptions(Options):
    """Options of ``asha`` and ``hyperband``."""

    eta: int = Field(3, ge=2, le=10, description="one trial in eta is promoted")
    min_epochs: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="epochs of the shortest trials; by default a ninth of the search's own, at least 2",
    )

    def first_level(self, epochs: int) -> int:
        """Epochs of the shortest trials of a search whose longest have ``epochs``.

        The default leaves out a comparison after the first epoch: there a one-cycle schedule still rises, and what is
        the best later is often behind (decision 016).
        """
        return min(epochs, max(2, ceil(epochs / 9)) if self.min_epochs is None else self.min_epochs)


@dataclass(frozen=True, slots=True)
class Cost:
    """Minimal cost of a search by successive halving, if no trial breaks down."""

    trials: int
    """Number of configurations and promotions."""
    epochs: int
    """Epochs that are trained. A promoted trial continues from its last epoch."""

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.trials + other.trials, self.epochs + other.epochs)


def levels(epochs: int, options: HalvingOptions) -> tuple[int, ...]:
    """The epochs after which trials are compared: the first level times powers of ``eta``, ending with ``epochs``.

    >>> [levels(epochs, HalvingOptions()) for epochs in (80, 20, 8, 5, 2, 1)]
    [(9, 27, 80), (3, 9, 20), (2, 8), (2, 5), (2,), (1,)]
    >>> [levels(epochs, HalvingOptions(min_epochs=1)) for epochs in (9, 8, 10, 5, 1)]
    [(1, 3, 9), (1, 3, 8), (1, 3, 10), (1, 5), (1,)]
    """
    first = options.first_level(epochs)
    if first == epochs:
        return (epochs,)
    steps = max(1, round(log(epochs / first, options.eta)))
    return (*(first * options.eta**step for step in range(steps)), epochs)


def promoted(trials: int, eta: int) -> int:
    """Number of trials promoted out of ``trials`` compared ones: one in ``eta``, at least one."""
    return max(1, trials // eta)


def halving_cost(trials: int, at: tuple[int, ...], eta: int) -> Cost:
    """Cost of ``trials`` configurations that begin at the first of the levels ``at``.

    >>> halving_cost(9, (1, 3, 9), 3)  # 9 x 1, 3 x 2 more, 1 x 6 more
    Cost(trials=13, epochs=21)
    """
    cost = Cost(trials, trials * at[0])
    for below, level in pairwise(at):
        trials = promoted(trials, eta)
        cost += Cost(trials, trials * (level - below))
    return cost


def brackets(trials: int, depth: int, eta: int) -> Iterator[tuple[int, int]]:
    """Yield Hyperband's brackets until they hold ``trials`` configurations, as (first level, configurations).

    With S + 1 levels, the bracket that begins s levels below the last has ceil((S + 1) / (s + 1) * eta^s)
    configurations. Li et al., "Hyperband", JMLR 18 (2018), arXiv:1603.06560, algorithm 1. The last bracket holds the
    remaining configurations.

    >>> list(brackets(20, depth=3, eta=3))
    [(0, 9), (1, 5), (2, 3), (0, 3)]
    """
    for first in cycle(range(depth)):
        if trials <= 0:
            return
        below = depth - 1 - first
        size = min(trials, ceil(depth * eta**below / (below + 1)))
        yield first, size
        trials -= size


def hyperband_cost(trials: int, at: tuple[int, ...], eta: int) -> Cost:
    """Cost of ``trials`` configurations in Hyperband's brackets over the levels ``at``.

    >>> hyperband_cost(17, (1, 3, 9), 3)  # 21 epochs; 5 x 3 and 6 more; 3 x 9
    Cost(trials=22, epochs=69)
    """
    costs = (halving_cost(size, at[first:], eta) for first, size in brackets(trials, len(at), eta))
    return sum(costs, Cost(0, 0))
