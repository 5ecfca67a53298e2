"""A pool that survives out-of-memory errors: it retries the order alone, and packs fewer trainings on a device."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol, TypeAlias, assert_never

from safs.execution.work import Trained
from safs.trials import OUT_OF_MEMORY, Outcome
from workers.on_ray.capacity import Share
from workers.on_ray.messages import Advanced, Answered, Failed, Message, Started
from workers.on_ray.orders import Order, OutOfMemory

AHEAD = 2
"""Number of orders that the inner pool holds beyond the running ones, so that no worker waits for this process."""


class Pool(Protocol):
    """The interface of ``actor_pool.ActorPool``."""

    def submit(self, order: Order) -> int: ...

    def receive(self, timeout_s: float) -> list[Message]: ...

    def close(self) -> None: ...


OpenPool: TypeAlias = Callable[[Share], Pool]


class PackedPool:
    """A pool whose orders may run out of memory.

    When an order has run out of memory, no other starts until all running ones have ended. Then a pool with half as
    many trainings on a device replaces the inner pool (``Share.less_packed``; its processes are new, so no memory of
    the old ones remains), the order is retried alone, and the waiting orders continue. If it runs out of memory again,
    or had its device to itself in the first place, its answer says so. Apart from that retry, orders start in the
    sequence of their submission.

    Args:
        open_pool: starts the workers of a share.
    """

    def __init__(self, share: Share, open_pool: OpenPool) -> None:
        self._share, self._open_pool = share, open_pool
        self._pool = open_pool(share)
        self._waiting: deque[tuple[int, Order]] = deque()
        self._running: dict[int, tuple[int, Order]] = {}
        self._out_of_memory: deque[tuple[int, Order]] = deque()
        """Orders that ran out of memory beside others and are to be retried."""
        self._alone = False
        """True while a retried order runs alone."""
        self._crowded = False
        """True if an order has run out of memory under the present share."""
        self._tickets = 0
        self._notes: list[str] = []

    def submit(self, order: Order) -> int:
        """Queue the order; return its ticket, which its messages carry."""
        self._tickets += 1
        self._waiting.append((self._tickets, order))
        self._dispatch()
        return self._tickets

    def receive(self, timeout_s: float) -> list[Message]:
        """Return the messages that have arrived; wait up to ``timeout_s`` seconds for the first.

        A retried order starts twice and reports its epochs twice, but is answered once.
        """
        messages = [self._handle(message) for message in self._pool.receive(timeout_s)]
        self._dispatch()
        return [message for message in messages if message is not None]

    def take_notes(self) -> list[str]:
        """Return the notes for people since the last call."""
        notes, self._notes = self._notes, []
        return notes

    def close(self) -> None:
        """End the workers, even in the middle of an order."""
        self._pool.close()

    def _handle(self, message: Message) -> Message | None:
        """Return the message with our ticket; None if its order is to be retried."""
        match message:
            case Started(inner) | Advanced(inner):
                return replace(message, ticket=self._running[inner][0])
            case Failed(inner, _, _, _):
                return replace(message, ticket=self._ended(inner)[0])
            case Answered(inner, answer):
                alone = self._alone or self._share.packed == 1 or self._share.workers == 1
                ticket, order = self._ended(inner)
                if (reason := out_of_memory_reason(answer)) is None:
                    return Answered(ticket, answer)
                if alone:
                    return infeasible(ticket, answer, reason)
                self._out_of_memory.append((ticket, order))
                self._crowded = True
                return None
            case _:
                assert_never(message)

    def _ended(self, inner: int) -> tuple[int, Order]:
        self._alone = False
        return self._running.pop(inner)

    def _dispatch(self) -> None:
        if self._out_of_memory or self._alone:
            if not self._running:
                self._make_room()
                self._run(*self._out_of_memory.popleft())
                self._alone = True
            return
        while self._waiting and len(self._running) < self._share.workers + min(self._share.workers, AHEAD):
            self._run(*self._waiting.popleft())

    def _run(self, ticket: int, order: Order) -> None:
        self._running[self._pool.submit(order)] = (ticket, order)

    def _make_room(self) -> None:
        if not self._crowded:
            return
        before, self._share = self._share, self._share.less_packed
        self._crowded = False
        where = "a GPU" if before.gpus else "this machine"
        self._notes.append(
            f"{len(self._out_of_memory)} of the trainings that shared {where} ran out of memory and are "
            "repeated alone. "
            f"{before.packed} were packed on it; from now on it is {self._share.packed}."
        )
        self._pool.close()
        self._pool = self._open_pool(self._share)


def out_of_memory_reason(answer: Any) -> str | None:
    """Return the reason if the answer is an out-of-memory failure, else None."""
    match answer:
        case OutOfMemory(reason):
            return reason
        case Outcome() if answer.out_of_memory:
            return (answer.error or "").removeprefix(f"{OUT_OF_MEMORY}: ")
        case Trained():
            return out_of_memory_reason(answer.outcome)
        case _:
            return None


def infeasible(ticket: int, answer: Any, reason: str) -> Message:
    """Return the message for an order that ran out of memory although it ran alone."""
    error = f"{OUT_OF_MEMORY}, also alone: {reason}"
    match answer:
        case Outcome():
            return Answered(ticket, replace(answer, error=error))
        case Trained(outcome):
            return Answered(ticket, replace(answer, outcome=replace(outcome, error=error)))
        case _:
            return Failed(ticket, error, final=True)
