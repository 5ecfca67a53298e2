"""What a pool of workers tells of its orders, each under the ticket that the order was given."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from safs.trials import EpochMetrics


@dataclass(frozen=True, slots=True)
class Started:
    ticket: int


@dataclass(frozen=True, slots=True)
class Advanced:
    ticket: int
    epochs: tuple[EpochMetrics, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    ticket: int
    answer: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """The order's process raised, or its worker was lost."""

    ticket: int
    reason: str
    lost: bool = False
    """Whether the worker was lost: its process died, or its node."""
    final: bool = False
    """Whether there is no point in another try."""


Message: TypeAlias = Started | Advanced | Answered | Failed
