"""The outcomes that a model of the objective is fitted on."""

from collections.abc import Sequence
from math import isfinite
from typing import TypeAlias

from safs.trials import Candidate, Config, Outcome

CRASH_LOSS = 1.0
"""Loss of a trial that broke down, for a model: a wrong answer for every image, since models take no infinity."""
Observation: TypeAlias = tuple[Config, float]


class History:
    """Outcomes told so far, thinned once they are many.

    A model's fit takes longer the more it is fitted on. Beyond ``most`` outcomes it is fitted on the best half of so
    many and, of the others, on the latest: the best say where to look, the latest what was found when looking there
    last, and between them lies what the search has turned away from. So an ask has a bound, however long the search.

    Args:
        most: even.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._told: list[Observation] = []

    def __len__(self) -> int:
        return len(self._told)

    def add(self, candidate: Candidate, outcome: Outcome) -> None:
        self._told.append((candidate.config, learned_loss(outcome)))

    def learned(self) -> list[Observation]:
        """The outcomes that a model is fitted on, in the order in which they were told."""
        return [self._told[index] for index in kept([loss for _, loss in self._told], self._most)]


def kept(losses: Sequence[float], most: int) -> list[int]:
    """Which outcomes a model is fitted on, by their index in the order of telling: see ``History``.

    >>> kept([0.1, 0.5, 0.4, 0.2, 0.6, 0.7], most=4)
    [0, 3, 4, 5]
    """
    if len(losses) <= most:
        return list(range(len(losses)))
    by_loss = sorted(range(len(losses)), key=lambda index: losses[index])
    best, others = by_loss[: most // 2], by_loss[most // 2 :]
    return sorted(best + sorted(others)[-(most // 2) :])


def learned_loss(outcome: Outcome) -> float:
    """The loss, finite."""
    return outcome.loss if outcome.error is None and isfinite(outcome.loss) else CRASH_LOSS
