"""A pool of Ray actors that carry out orders.

Starting an actor takes seconds, since its process imports torch. So the pool starts its actors at once and reuses them
for all its orders, and ``warm_workers`` hands them from one pool to the next. An order goes to an actor that has
started: a slow start delays no order while another actor is free.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from threading import Event
from typing import Any

import ray
from ray.exceptions import ObjectLostError, RayError, RayTaskError

from workers.on_ray.messages import Advanced, Answered, Failed, Message, Started
from workers.on_ray.orders import Order

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Worker:
    """An actor with what is known of its process."""

    actor: Any
    answer: "ray.ObjectRef[Any]"
    """Reference to the return value of the actor's last call of ``ready`` or ``rest``."""
    orders: int = 0
    """Number of orders that it was given."""
    start_bytes: int | None = None
    """Memory of the process after its start, in bytes; None while it is starting."""


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that a worker has not answered."""

    worker: Worker
    ticket: int | None
    """Ticket of the order; None while the worker is starting or coming to rest."""


class ActorPool:
    """Workers that carry out orders, one order each at a time, in the sequence of their submission.

    A worker that is lost, or whose order raised, is replaced by a new one.

    Args:
        start_actor: starts an actor with the methods of ``TrialActor``, and returns its handle at once.
        size: number of workers.
        kept: workers of an earlier pool, at most ``size``; the others are started.
        growth_bytes: growth of a kept worker's memory since its start beyond which it is replaced.
        on_started: called with the number of workers that have started, whenever it has grown.
    """

    def __init__(
        self,
        start_actor: Callable[[], Any],
        size: int,
        kept: Sequence[Worker] = (),
        *,
        growth_bytes: float = inf,
        on_started: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._start_actor, self._size = start_actor, size
        self._growth_bytes, self._on_started = growth_bytes, on_started
        self._waiting: deque[tuple[int, Order]] = deque()
        self._idle: list[Worker] = []
        self._calls: dict[ray.ObjectRef[Any], _Call] = {}
        self._messages: list[Message] = []
        self._tickets = 0
        for worker in kept:
            worker.answer = worker.actor.ready.remote()  # It may have died since it came to rest.
            self._calls[worker.answer] = _Call(worker, None)
        for _ in range(size - len(kept)):
            self._start()

    @property
    def started(self) -> int:
        """Number of workers that have started and are alive, as far as is known."""
        return len(self._idle) + sum(call.ticket is not None for call in self._calls.values())

    def submit(self, order: Order) -> int:
        """Queue the order; return its ticket, which its messages carry."""
        self._tickets += 1
        self._waiting.append((self._tickets, order))
        self._dispatch()
        return self._tickets

    def receive(self, timeout_s: float) -> list[Message]:
        """Return the messages that have arrived; wait up to ``timeout_s`` seconds for the first."""
        pending = list(self._calls)
        if not pending:
            Event().wait(0.0 if self._messages else timeout_s)
        elif ray.wait(pending, timeout=0.0 if self._messages else timeout_s)[0]:
            for answer in ray.wait(pending, num_returns=len(pending), timeout=0.0)[0]:
                self._take(answer)
            self._dispatch()
        messages, self._messages = self._messages, []
        return messages

    def close(self) -> None:
        """Kill the workers, also those that hang or are still starting. Orders that have not ended are dropped."""
        for worker in [*self._idle, *(call.worker for call in self._calls.values())]:
            ray.kill(worker.actor)
        self._idle.clear()
        self._calls.clear()
        self._waiting.clear()

    def release(self) -> list[Worker]:
        """Close the pool, but return the workers without an order, alive. They drop what they hold of their orders."""
        free = [call.worker for call in self._calls.values() if call.ticket is None]
        for worker in self._idle:
            worker.answer = worker.actor.rest.remote()
        free += self._idle
        self._idle = []
        self._calls = {answer: call for answer, call in self._calls.items() if call.ticket is not None}
        self.close()
        return free

    def _start(self) -> None:
        actor = self._start_actor()
        worker = Worker(actor, actor.ready.remote())
        self._calls[worker.answer] = _Call(worker, None)

    def _dispatch(self) -> None:
        while self._waiting and self._idle:
            ticket, order = self._waiting.popleft()
            self._messages.append(Started(ticket))
            self._step(self._idle.pop(), ticket, order)
        missing = self._size - len(self._idle) - len(self._calls)
        for _ in range(min(missing, len(self._waiting))):
            self._start()

    def _step(self, worker: Worker, ticket: int, order: Order | None) -> None:
        worker.orders += order is not None
        self._calls[worker.actor.step.remote(order)] = _Call(worker, ticket)

    def _take(self, answer: "ray.ObjectRef[Any]") -> None:
        call = self._calls.pop(answer)
        try:
            step = ray.get(answer)
        except RayError as error:
            self._fail(call, error)
            return
        if call.ticket is None:
            self._is_ready(call.worker, step)
            return
        if step.epochs:
            self._messages.append(Advanced(call.ticket, step.epochs, step.places))
        if step.done:
            self._messages.append(Answered(call.ticket, step.answer))
            self._idle.append(call.worker)
        else:
            self._step(call.worker, call.ticket, None)

    def _is_ready(self, worker: Worker, memory_bytes: int) -> None:
        """Count the worker as started, or replace it if its memory has grown too much."""
        if worker.start_bytes is None:
            worker.start_bytes = memory_bytes
        elif memory_bytes - worker.start_bytes > self._growth_bytes:
            log.info("a worker's memory has grown by %d bytes, so it is replaced", memory_bytes - worker.start_bytes)
            self._replace(worker)
            return
        self._idle.append(worker)
        self._on_started(self.started)

    def _replace(self, worker: Worker) -> None:
        ray.kill(worker.actor)
        self._start()

    def _fail(self, call: _Call, error: RayError) -> None:
        ticket = call.ticket
        if ticket is None and call.worker.start_bytes is not None:
            log.info("a worker was lost between two jobs, so it is replaced: %s", error)
            self._replace(call.worker)
            return
        # An exception may leave the process in a bad state, such as a broken CUDA context.
        ray.kill(call.worker.actor)
        if ticket is None:
            # The start failed. An order fails with it, or a start that always fails would be retried forever.
            log.warning("a worker could not be started: %s", error)
            if not self._waiting:
                return
            ticket = self._waiting.popleft()[0]
        self._messages.append(_failed(ticket, error))


def _failed(ticket: int, error: RayError) -> Failed:
    if not isinstance(error, RayTaskError):
        return Failed(ticket, str(error).strip().partition("\n")[0], lost=True)
    log.warning("a trial raised: %s", error)
    cause = error.cause
    return Failed(ticket, f"{type(cause).__name__}: {cause}", lost=isinstance(cause, ObjectLostError))
