"""A pool of workers that a test plays, without Ray."""

from collections.abc import Callable
from typing import Any

from workers.on_ray.capacity import Share
from workers.on_ray.messages import Answered, Failed, Message
from workers.on_ray.orders import Order, PauseOrder


class PlayedPool:
    """A pool that tells what the test says; knows which orders it has, by the number that a pause has for seconds."""

    def __init__(self, share: Share, pools: list["PlayedPool"]) -> None:
        self.share, self.closed = share, False
        self.orders: dict[int, float] = {}
        self._messages: list[Message] = []
        self._tickets = 0
        pools.append(self)

    def submit(self, order: Order) -> int:
        assert isinstance(order, PauseOrder)
        assert not self.closed
        self._tickets += 1
        self.orders[self._tickets] = order.seconds
        return self._tickets

    def receive(self, timeout_s: float) -> list[Message]:
        messages, self._messages = self._messages, []
        return messages

    def close(self) -> None:
        assert not self.orders, "orders were at work"
        self.closed = True

    def tell(self, number: float, make: Callable[[int], Message]) -> None:
        """Tells of the order with this number; forgets it if it has ended."""
        ticket = next(ticket for ticket, one in self.orders.items() if one == number)
        message = make(ticket)
        if isinstance(message, Answered | Failed):
            del self.orders[ticket]
        self._messages.append(message)

    @property
    def has(self) -> list[float]:
        return list(self.orders.values())


def answer(found: Any) -> Callable[[int], Message]:
    return lambda ticket: Answered(ticket, found)
