"""A pool that repeats what its process did not survive: a worker that is lost is no fault of the trial.

See decision 022. What ends with an outcome, such as a loss that is not finite, is repeated by nobody.
"""

import time
from dataclasses import dataclass, replace
from typing import TypeAlias, assert_never

from workers.on_ray.messages import Advanced, Answered, Failed, Message, Started
from workers.on_ray.orders import Order
from workers.on_ray.packing import PackedPool

MOST_LOSSES = 3
"""How many times an order is run again because its worker was lost. Then it may be the order that ends workers."""
MOST_EXCEPTIONS = 1
"""How many times because of an exception: the same one twice is final, and so is another after it."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """The order has failed and is run again, from its beginning."""

    ticket: int
    reason: str
    lost: bool
    """Whether its worker was lost, rather than an exception raised."""
    seconds: float
    """Wall time since the order was begun, which is lost."""


Told: TypeAlias = Message | Repeated


@dataclass(slots=True)
class _Attempts:
    """An order that has not ended."""

    ticket: int
    order: Order
    began_s: float | None = None
    lost: int = 0
    raised: int = 0


class RetryingPool:
    """A pool of which an order fails only when it has failed again; each is answered once.

    A repetition is handed in behind the orders that wait. It is answered under the ticket that the order has.
    """

    def __init__(self, pool: PackedPool) -> None:
        self._pool = pool
        self._running: dict[int, _Attempts] = {}
        """By the ticket of the pool beneath."""
        self._tickets = 0

    def submit(self, order: Order) -> int:
        """Hands the order in; returns the ticket under which messages speak of it."""
        self._tickets += 1
        self._begin(_Attempts(self._tickets, order))
        return self._tickets

    def receive(self, timeout_s: float) -> list[Told]:
        """The messages that have come; waits up to ``timeout_s`` for the first.

        An order that is repeated starts again and tells its epochs again, after ``Repeated``.
        """
        return [self._told(message) for message in self._pool.receive(timeout_s)]

    def take_notes(self) -> list[str]:
        """What a person should know that has not been taken yet."""
        return self._pool.take_notes()

    def close(self) -> None:
        """Ends the workers, also those that are at work."""
        self._pool.close()

    def _begin(self, attempts: _Attempts) -> None:
        attempts.began_s = None
        self._running[self._pool.submit(attempts.order)] = attempts

    def _told(self, message: Message) -> Told:
        match message:
            case Started(theirs):
                attempts = self._running[theirs]
                attempts.began_s = time.monotonic()
                return Started(attempts.ticket)
            case Advanced(theirs, epochs):
                return Advanced(self._running[theirs].ticket, epochs)
            case Answered(theirs, answer):
                return Answered(self._running.pop(theirs).ticket, answer)
            case Failed(theirs, _):
                return self._failed(self._running.pop(theirs), message)
            case _:
                assert_never(message)

    def _failed(self, attempts: _Attempts, failed: Failed) -> Told:
        attempts.lost += failed.lost
        attempts.raised += not failed.lost
        if failed.final or attempts.lost > MOST_LOSSES or attempts.raised > MOST_EXCEPTIONS:
            reason = f"its worker was lost {attempts.lost} times: {failed.reason}" if failed.lost else failed.reason
            return replace(failed, ticket=attempts.ticket, reason=reason)
        began_s = attempts.began_s
        seconds = 0.0 if began_s is None else time.monotonic() - began_s
        self._begin(attempts)
        return Repeated(attempts.ticket, failed.reason, failed.lost, seconds)
