"""Messages of a pool of workers. Each carries the ticket of the order that it is about."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from safs.trials import EpochMetrics


@dataclass(frozen=True, slots=True)
class Started:
    """A worker has begun the order."""

    ticket: int


@dataclass(frozen=True, slots=True)
class Advanced:
    """A training has finished epochs."""

    ticket: int
    epochs: tuple[EpochMetrics, ...]
    places: tuple[int, ...] = ()
    """Place of each epoch's training in its stack; empty for a training alone."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The order has ended with an answer."""

    ticket: int
    answer: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """The order has ended without an answer: it raised an exception, or its worker was lost."""

    ticket: int
    reason: str
    lost: bool = False
    """True if the worker was lost with its process or node."""
    final: bool = False
    """True if a retry is pointless."""


Message: TypeAlias = Started | Advanced | Answered | Failed
