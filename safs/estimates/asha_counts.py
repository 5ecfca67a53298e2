"""The number of promotions of ASHA, by simulation.

ASHA promotes a trial as soon as it is among the best of its rung. A better one that comes later is promoted too, so a
search promotes more trials than successive halving would.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from functools import cache
from heapq import heappop, heappush
from random import Random

from safs.spec.halving import Cost, promoted

SEARCHES = 200
"""Simulated searches at most; fewer of long searches, whose counts vary less."""
KEEPS = 0.7
"""Part of a trial's loss that it keeps on the next rung; the rest is drawn again."""


@cache
def asha_costs(trials: int, at: tuple[int, ...], eta: int) -> tuple[Cost, Cost]:
    """Return the median and the greatest cost of a search with random losses. The least is ``halving_cost``.

    Args:
        trials: number of configurations.
        at: epochs of the rungs, ascending.
        eta: one trial in ``eta`` is promoted.
    """
    searches = max(8, min(SEARCHES, 20_000 // trials))
    found = [_search(trials, at, eta, Random(seed)) for seed in range(searches)]
    ordered = sorted(found, key=lambda cost: (cost.epochs, cost.trials))
    return ordered[searches // 2], ordered[-1]


class _Rung:
    """The losses of a rung."""

    def __init__(self) -> None:
        self._losses: list[float] = []
        """All losses, ascending."""
        self._here: list[float] = []
        """Heap of those that were not promoted."""

    def add(self, loss: float) -> None:
        insort(self._losses, loss)
        heappush(self._here, loss)

    def promote(self, eta: int, *, full: bool) -> float | None:
        """Return the best loss that was not promoted if it is among the best 1/eta, and count it as promoted."""
        count = len(self._losses)
        quota = promoted(count, eta) if full and count else count // eta
        if not self._here or bisect_left(self._losses, self._here[0]) >= quota:
            return None
        return heappop(self._here)


def _search(trials: int, at: Sequence[int], eta: int, random: Random) -> Cost:
    """Return the cost of one search, one trial at a time, as ``safs.search.asha`` decides."""
    rungs = [_Rung() for _ in at]
    left, cost = trials, Cost(0, 0)
    while True:
        for index in reversed(range(len(at) - 1)):
            if (loss := rungs[index].promote(eta, full=not left)) is not None:
                rungs[index + 1].add(KEEPS * loss + (1 - KEEPS) * random.random())
                cost += Cost(1, at[index + 1] - at[index])
                break
        else:
            if not left:
                return cost
            left -= 1
            rungs[0].add(random.random())
            cost += Cost(1, at[0])
