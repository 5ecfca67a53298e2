"""A pool of Ray actors that carry out orders.

Starting an actor takes seconds, since its process imports torch. So the pool starts its actors at once and reuses them
for all orders of a job. An order goes to an actor that has started: a slow start delays no order while another actor is
free.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Any

import ray
from ray.exceptions import ObjectLostError, RayError, RayTaskError

from workers.on_ray.messages import Advanced, Answered, Failed, Message, Started
from workers.on_ray.orders import Order

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that an actor has not answered."""

    actor: Any
    ticket: int | None
    """Ticket of the order; None while the actor is starting."""


class ActorPool:
    """Actors that carry out orders, one order each at a time, in the sequence of their submission.

    An actor that is lost, or whose order raised, is replaced by a new one.

    Args:
        start_actor: starts an actor with the methods of ``TrialActor``, and returns its handle at once.
        size: number of actors.
    """

    def __init__(self, start_actor: Callable[[], Any], size: int) -> None:
        self._start_actor, self._size = start_actor, size
        self._waiting: deque[tuple[int, Order]] = deque()
        self._idle: list[Any] = []
        self._calls: dict[ray.ObjectRef[Any], _Call] = {}
        self._messages: list[Message] = []
        self._tickets = 0
        for _ in range(size):
            self._start()

    @property
    def started(self) -> int:
        """Number of actors that have started and are alive, as far as is known."""
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
        """Kill the actors, also those that hang or are still starting. Orders that have not ended are dropped."""
        for actor in [*self._idle, *(call.actor for call in self._calls.values())]:
            ray.kill(actor)
        self._idle.clear()
        self._calls.clear()
        self._waiting.clear()

    def _start(self) -> None:
        actor = self._start_actor()
        self._calls[actor.ready.remote()] = _Call(actor, None)

    def _dispatch(self) -> None:
        while self._waiting and self._idle:
            ticket, order = self._waiting.popleft()
            self._messages.append(Started(ticket))
            self._step(self._idle.pop(), ticket, order)
        missing = self._size - len(self._idle) - len(self._calls)
        for _ in range(min(missing, len(self._waiting))):
            self._start()

    def _step(self, actor: Any, ticket: int, order: Order | None) -> None:
        self._calls[actor.step.remote(order)] = _Call(actor, ticket)

    def _take(self, answer: "ray.ObjectRef[Any]") -> None:
        call = self._calls.pop(answer)
        try:
            step = ray.get(answer)
        except RayError as error:
            self._fail(call, error)
            return
        if call.ticket is None:
            self._idle.append(call.actor)
            return
        if step.epochs:
            self._messages.append(Advanced(call.ticket, step.epochs))
        if step.done:
            self._messages.append(Answered(call.ticket, step.answer))
            self._idle.append(call.actor)
        else:
            self._step(call.actor, call.ticket, None)

    def _fail(self, call: _Call, error: RayError) -> None:
        # An exception may leave the process in a bad state, such as a broken CUDA context.
        ray.kill(call.actor)
        ticket = call.ticket
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
