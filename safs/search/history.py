"""The outcomes on which a model of the objective is fitted."""

from collections.abc import Sequence
from math import isfinite
from typing import TypeAlias

from safs.trials import Candidate, Config, Outcome

CRASH_LOSS = 1.0
"""Loss of a failed trial for a model, which accepts no infinity: the loss if every image is classified wrongly."""
Observation: TypeAlias = tuple[Config, float]


class History:
    """The outcomes told so far, and the at most ``most`` of them on which a model is fitted.

    The time of a fit grows with the number of outcomes. Beyond ``most`` outcomes, half of the places go to the best
    outcomes and the other half to the latest of the rest. The best show where good points are, the latest show the
    present region of the search. So the time of an ask is bounded in a search of any length.

    Args:
        most: largest number of outcomes for a fit; an even number.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._told: list[Observation] = []

    def __len__(self) -> int:
        return len(self._told)

    def add(self, candidate: Candidate, outcome: Outcome) -> None:
        self._told.append((candidate.config, learned_loss(outcome)))

    def learned(self) -> list[Observation]:
        """The outcomes for a fit, in the order in which they were told."""
        return [self._told[index] for index in kept([loss for _, loss in self._told], self._most)]


def kept(losses: Sequence[float], most: int) -> list[int]:
    """Indices of the outcomes for a fit, in the order in which they were told; see ``History``.

    >>> kept([0.1, 0.5, 0.4, 0.2, 0.6, 0.7], most=4)
    [0, 3, 4, 5]
    """
    if len(losses) <= most:
        return list(range(len(losses)))
    by_loss = sorted(range(len(losses)), key=lambda index: losses[index])
    best, others = by_loss[: most // 2], by_loss[most // 2 :]
    return sorted(best + sorted(others)[-(most // 2) :])


def learned_loss(outcome: Outcome) -> float:
    """The outcome's loss; ``CRASH_LOSS`` if it failed or is not finite."""
    return outcome.loss if outcome.error is None and isfinite(outcome.loss) else CRASH_LOSS
