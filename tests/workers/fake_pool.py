"""A pool of workers that a test controls, without Ray."""

from collections.abc import Callable
from typing import Any

from workers.on_ray.capacity import Share
from workers.on_ray.messages import Answered, Failed, Message


class FakePool:
    """A pool whose messages come from the test. Its orders are numbers."""

    def __init__(self, share: Share, pools: list["FakePool"]) -> None:
        self.share, self.closed = share, False
        self.orders: dict[int, Any] = {}
        """Ticket -> number of each order that has not ended."""
        self._messages: list[Message] = []
        self._tickets = 0
        pools.append(self)

    def submit(self, order: Any) -> int:
        assert not self.closed
        self._tickets += 1
        self.orders[self._tickets] = order
        return self._tickets

    def receive(self, timeout_s: float) -> list[Message]:
        messages, self._messages = self._messages, []
        return messages

    def close(self) -> None:
        assert not self.orders, "orders are running"
        self.closed = True

    def send(self, number: int, make: Callable[[int], Message]) -> None:
        """Queue a message about order ``number``, made from its ticket; drop the order if the message ends it."""
        ticket = next(ticket for ticket, one in self.orders.items() if one == number)
        message = make(ticket)
        if isinstance(message, Answered | Failed):
            del self.orders[ticket]
        self._messages.append(message)

    @property
    def numbers(self) -> list[int]:
        """Numbers of the orders that have not ended."""
        return list(self.orders.values())


def answer(value: Any) -> Callable[[int], Message]:
    """Return a maker of an answer with this value."""
    return lambda ticket: Answered(ticket, value)


def order(number: int) -> Any:
    """Return an order of a ``FakePool``."""
    return number
