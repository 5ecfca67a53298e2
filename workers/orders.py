"""What a worker can be asked to do, and how what it made travels back."""

from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

import ray

from safs.execution import Look
from safs.prunings import Work
from workers.ray_shared import SharedContext

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class TrainOrder:
    """Train or prune; the answer is a ``Trained`` if the network is to be kept, else an ``Outcome``."""

    context: SharedContext
    work: Work
    keep: bool


@dataclass(frozen=True, slots=True)
class LookOrder:
    """Look at a network on a split; the answer is what ``look`` returns."""

    look: Look[Any]
    network: ray.ObjectRef[Any]
    split: ray.ObjectRef[Any]
    batch_size: int


@dataclass(frozen=True, slots=True)
class PauseOrder:
    """Wait: Tune ends an actor that has nothing to do, and the next one takes seconds to import torch."""

    seconds: float


Order: TypeAlias = TrainOrder | LookOrder | PauseOrder


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """The answer to an order for which the device's memory did not suffice, where the work could not say so itself."""

    reason: str


class Parcel(Generic[Answer]):
    """An answer on its way. Tune keeps every last result; a parcel that was taken holds no network any more."""

    def __init__(self, answer: Answer) -> None:
        self._answer: Answer | None = answer

    def take(self) -> Answer:
        """The answer, once."""
        answer, self._answer = self._answer, None
        assert answer is not None
        return answer
