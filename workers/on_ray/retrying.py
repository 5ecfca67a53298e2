"""A pool that retries orders whose worker was lost or that raised an exception; see decision 022.

An order that ended with an outcome, such as a loss that is not finite, is not retried.
"""

import time
from dataclasses import dataclass, replace
from typing import TypeAlias, assert_never

from workers.on_ray.messages import Advanced, Answered, Failed, Message, Started
from workers.on_ray.orders import Order
from workers.on_ray.packing import PackedPool

MOST_LOSSES = 3
"""Number of retries after lost workers. After more losses, the order itself may be what kills its workers."""
MOST_EXCEPTIONS = 1
"""Number of retries after exceptions. The second exception is final, the same one or not."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """The order has failed and is retried from its beginning."""

    ticket: int
    reason: str
    lost: bool
    """True if its worker was lost, False if it raised an exception."""
    seconds: float
    """Wall time since the order began, which is lost; 0 if it had not begun."""


PoolMessage: TypeAlias = Message | Repeated


@dataclass(slots=True)
class _Attempts:
    """An order that has not ended, with its failures so far."""

    ticket: int
    order: Order
    began_s: float | None = None
    lost: int = 0
    raised: int = 0


class RetryingPool:
    """A pool that retries failed orders. Each order is answered or fails once, under its first ticket.

    A retry is queued behind the waiting orders.
    """

    def __init__(self, pool: PackedPool) -> None:
        self._pool = pool
        self._running: dict[int, _Attempts] = {}
        """Orders by their ticket in the inner pool."""
        self._tickets = 0

    def submit(self, order: Order) -> int:
        """Queue the order; return its ticket, which its messages carry."""
        self._tickets += 1
        self._begin(_Attempts(self._tickets, order))
        return self._tickets

    def receive(self, timeout_s: float) -> list[PoolMessage]:
        """Return the messages that have arrived; wait up to ``timeout_s`` seconds for the first.

        After ``Repeated``, an order starts again and reports its epochs again.
        """
        return [self._handle(message) for message in self._pool.receive(timeout_s)]

    def take_notes(self) -> list[str]:
        """Return the notes for people since the last call."""
        return self._pool.take_notes()

    def close(self) -> None:
        """End the workers, even in the middle of an order."""
        self._pool.close()

    def _begin(self, attempts: _Attempts) -> None:
        attempts.began_s = None
        self._running[self._pool.submit(attempts.order)] = attempts

    def _handle(self, message: Message) -> PoolMessage:
        match message:
            case Started(inner):
                attempts = self._running[inner]
                attempts.began_s = time.monotonic()
                return Started(attempts.ticket)
            case Advanced(inner):
                return replace(message, ticket=self._running[inner].ticket)
            case Answered(inner, answer):
                return Answered(self._running.pop(inner).ticket, answer)
            case Failed(inner, _):
                return self._failed(self._running.pop(inner), message)
            case _:
                assert_never(message)

    def _failed(self, attempts: _Attempts, failed: Failed) -> PoolMessage:
        attempts.lost += failed.lost
        attempts.raised += not failed.lost
        if failed.final or attempts.lost > MOST_LOSSES or attempts.raised > MOST_EXCEPTIONS:
            reason = f"its worker was lost {attempts.lost} times: {failed.reason}" if failed.lost else failed.reason
            return replace(failed, ticket=attempts.ticket, reason=reason)
        began_s = attempts.began_s
        seconds = 0.0 if began_s is None else time.monotonic() - began_s
        self._begin(attempts)
        return Repeated(attempts.ticket, failed.reason, failed.lost, seconds)
