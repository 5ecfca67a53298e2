"""A worker for tests of the pool. Ray's workers import this module, and it imports nothing that takes long."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LightStep:
    """The same as ``workers.on_ray.orders.Step``, which takes torch to import."""

    epochs: tuple[()] = ()
    done: bool = True
    answer: Any = None


class Worker:
    """Carries out an order that is a function of its process, and answers with its return value."""

    def ready(self) -> None:
        """Return once the worker has started."""

    def step(self, order: Callable[[], Any]) -> LightStep:
        return LightStep(answer=order())


class LightTrialActor(Worker):
    """Has the methods of ``TrialActor``, and starts in a fraction of its time."""

    def __init__(self, device: str, threads: int) -> None:
        pass

    def ready(self) -> int:
        """Return 1000, as the memory of the process in bytes."""
        return 1000

    def rest(self) -> int:
        """Return the same memory as at the start."""
        return 1000


class BrokenWorker(Worker):
    """A worker that cannot start."""

    def __init__(self) -> None:
        raise ValueError("no such device")
