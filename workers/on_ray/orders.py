"""What a worker can be asked to do, and how what it made travels back."""

from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

import ray
from ray.exceptions import ObjectLostError

from safs.execution.executor import Look
from safs.execution.pruning import Work
from safs.trials import Outcome
from workers.job_spans import Origin
from workers.on_ray.shared_data import SharedContext

Answer = TypeVar("Answer")


class Loan:
    """A reference to an object that lives as long as an order needs it. Tune keeps its copies of orders to the end."""

    def __init__(self, reference: ray.ObjectRef[Any]) -> None:
        self._reference: ray.ObjectRef[Any] | None = reference

    def get(self) -> Any:
        """The object; None if it was lost with a node or process.

        Raises:
            AssertionError: the loan has ended.
        """
        assert self._reference is not None
        try:
            return ray.get(self._reference)
        except ObjectLostError:
            return None

    def end(self) -> None:
        """Lets go of the object, in all the copies that this process has."""
        self._reference = None

    def __deepcopy__(self, memo: Any) -> "Loan":
        return self


@dataclass(frozen=True, slots=True)
class TrainOrder:
    """Train or prune.

    The answer is a ``Trained`` if the network is to be kept, else an ``Outcome``, or an ``Unfinished`` of what a longer
    training may go on from.
    """

    context: SharedContext
    work: Work
    keep: bool
    resume: Loan | None = None
    """The ``Snapshot`` that the training goes on from."""
    origin: Origin | None = None
    """What its span belongs to; None traces nothing."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The answer of a training that ended before the last epoch of its schedule."""

    outcome: Outcome
    snapshot: ray.ObjectRef[Any]
    """Belongs to the worker's process and is lost with it."""
    size_bytes: int


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
