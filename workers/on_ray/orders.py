"""The orders that a worker carries out, and the forms in which it returns their results."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import ray

from safs.execution.executor import Measure
from safs.execution.runs import Work
from safs.execution.training import Training
from safs.trials import EpochMetrics, Outcome
from workers.job_spans import Origin
from workers.on_ray.shared_data import SharedContext


@dataclass(frozen=True, slots=True)
class TrainOrder:
    """An order to train or prune.

    The answer is a ``Trained`` if ``keep`` is set. Otherwise it is an ``Outcome``, or an ``Unfinished`` if a later
    training can continue this one.
    """

    context: SharedContext
    work: Work
    keep: bool
    """True if the answer includes the trained network."""
    resume: "ray.ObjectRef[Any] | None" = None
    """Reference to the snapshot that the training continues from; None starts from the beginning."""
    origin: Origin | None = None
    """Parent of the training's span; None records no span."""


@dataclass(frozen=True, slots=True)
class StackOrder:
    """An order to train several trainings as one. The answer is a ``StackAnswer``."""

    context: SharedContext
    works: tuple[Training, ...]
    resume: "tuple[ray.ObjectRef[Any] | None, ...]"
    """Reference to the snapshot that each training continues from; None starts from the beginning."""
    origins: tuple[Origin | None, ...]
    """Parent of each training's span; None records no span."""
    recorded: bool = False
    """True to record the steps on a GPU."""

    def singles(self) -> list[TrainOrder]:
        """Return an order for each training alone."""
        parts = zip(self.works, self.resume, self.origins, strict=True)
        return [TrainOrder(self.context, work, False, resume, origin) for work, resume, origin in parts]


@dataclass(frozen=True, slots=True)
class StackAnswer:
    """The outcomes of a stack, in the order of its works."""

    outcomes: "tuple[Outcome | Unfinished, ...]"
    reason: str | None
    """Why the trainings ran alone, if their network cannot be stacked."""
    not_recorded: str | None
    """Why the steps were not recorded, if they were to be and cannot be."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The answer of a training that ended before the last epoch of its schedule."""

    outcome: Outcome
    snapshot: "ray.ObjectRef[Any]"
    """Reference to the training's ``Snapshot``. The worker's process owns the object, so it is lost with the worker."""
    size_bytes: int
    """Size of the snapshot in bytes."""


@dataclass(frozen=True, slots=True)
class MeasureOrder:
    """An order to evaluate a network on a split. The answer is the return value of ``function``."""

    function: Measure[Any]
    network: "ray.ObjectRef[Any]"
    split: "ray.ObjectRef[Any]"
    batch_size: int


Order: TypeAlias = TrainOrder | StackOrder | MeasureOrder


@dataclass(frozen=True, slots=True)
class Step:
    """The result of one step of an order."""

    epochs: tuple[EpochMetrics, ...] = ()
    """Metrics of the epochs that the step trained."""
    places: tuple[int, ...] = ()
    """Place of each epoch's training in its stack; empty for a training alone."""
    done: bool = False
    """True if the order has ended with ``answer``."""
    answer: Any = None


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """The answer to an order whose device ran out of memory, if the work itself could not report it."""

    reason: str
