"""A pool of workers that a test controls, without Ray."""

from collections.abc import Callable
from typing import Any

from workers.on_ray.capacity import Share
from workers.on_ray.messages import Answered, Failed, Message
from workers.on_ray.orders import Order, PauseOrder


class FakePool:
    """A pool whose messages come from the test. Orders are pauses; the number of an order is its seconds."""

    def __init__(self, share: Share, pools: list["FakePool"]) -> None:
        self.share, self.closed = share, False
        self.orders: dict[int, float] = {}
        """Ticket -> number of each order that has not ended."""
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
        assert not self.orders, "orders are running"
        self.closed = True

    def send(self, number: float, make: Callable[[int], Message]) -> None:
        """Queue a message about order ``number``, made from its ticket; drop the order if the message ends it."""
        ticket = next(ticket for ticket, one in self.orders.items() if one == number)
        message = make(ticket)
        if isinstance(message, Answered | Failed):
            del self.orders[ticket]
        self._messages.append(message)

    @property
    def numbers(self) -> list[float]:
        """Numbers of the orders that have not ended."""
        return list(self.orders.values())


def answer(value: Any) -> Callable[[int], Message]:
    """Return a maker of an answer with this value."""
    return lambda ticket: Answered(ticket, value)
