"""A pool that goes on when memory runs out: what did not fit is repeated alone, and then fewer share a device."""

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
"""Orders that the pool has beyond those at work, so that no worker waits for this process."""


class Pool(Protocol):
    """What ``ray_tune.WorkerPool`` does."""

    def submit(self, order: Order) -> int: ...

    def receive(self, timeout_s: float) -> list[Message]: ...

    def close(self) -> None: ...


OpenPool: TypeAlias = Callable[[Share], Pool]


class PackedPool:
    """A pool whose orders may run out of memory.

    When one has, no more are handed in until all that run have ended. Then a pool with half as many trainings on a
    device takes the place of this one (``Share.roomier``: new processes, so that nothing of the old ones stays in
    memory), the order runs once more with no other beside it, and the rest goes on. If it runs out of memory again, or
    had its device to itself in the first place, its answer says so. Orders are begun in the order in which they came,
    apart from that repetition.

    Args:
        open_pool: starts the workers of a share.
    """

    def __init__(self, share: Share, open_pool: OpenPool) -> None:
        self._share, self._open_pool = share, open_pool
        self._pool = open_pool(share)
        self._waiting: deque[tuple[int, Order]] = deque()
        self._running: dict[int, tuple[int, Order]] = {}
        self._short: deque[tuple[int, Order]] = deque()
        """Ran out of memory beside others; to be repeated."""
        self._alone = False
        """Whether the order that runs is a repetition."""
        self._crowded = False
        """Whether an order has run out of memory under the share of now."""
        self._tickets = 0
        self._notes: list[str] = []

    def submit(self, order: Order) -> int:
        """Hands the order in; returns the ticket under which messages speak of it."""
        self._tickets += 1
        self._waiting.append((self._tickets, order))
        self._hand_in()
        return self._tickets

    def receive(self, timeout_s: float) -> list[Message]:
        """The messages that have come; waits up to ``timeout_s`` for the first.

        An order that is repeated starts twice and tells its epochs twice; it is answered once.
        """
        told = [self._told(message) for message in self._pool.receive(timeout_s)]
        self._hand_in()
        return [message for message in told if message is not None]

    def take_notes(self) -> list[str]:
        """What a person should know that has not been taken yet."""
        notes, self._notes = self._notes, []
        return notes

    def close(self) -> None:
        """Ends the workers, also those that are at work."""
        self._pool.close()

    def _told(self, message: Message) -> Message | None:
        """The message under our ticket; None if its order is to be repeated."""
        match message:
            case Started(theirs) | Advanced(theirs, _):
                return replace(message, ticket=self._running[theirs][0])
            case Failed(theirs, _, _, _):
                return replace(message, ticket=self._ended(theirs)[0])
            case Answered(theirs, answer):
                alone = self._alone or self._share.packed == 1 or self._share.workers == 1
                ticket, order = self._ended(theirs)
                if (lack := lack_of_memory(answer)) is None:
                    return Answered(ticket, answer)
                if alone:
                    return infeasible(ticket, answer, lack)
                self._short.append((ticket, order))
                self._crowded = True
                return None
            case _:
                assert_never(message)

    def _ended(self, theirs: int) -> tuple[int, Order]:
        self._alone = False
        return self._running.pop(theirs)

    def _hand_in(self) -> None:
        if self._short or self._alone:
            if not self._running:
                self._make_room()
                self._run(*self._short.popleft())
                self._alone = True
            return
        while self._waiting and len(self._running) < self._share.workers + min(self._share.workers, AHEAD):
            self._run(*self._waiting.popleft())

    def _run(self, ticket: int, order: Order) -> None:
        self._running[self._pool.submit(order)] = (ticket, order)

    def _make_room(self) -> None:
        if not self._crowded:
            return
        before, self._share = self._share, self._share.roomier
        self._crowded = False
        where = "a GPU" if before.gpus else "this machine"
        self._notes.append(
            f"{len(self._short)} of the trainings that shared {where} ran out of memory and are repeated alone. "
            f"{before.packed} were packed on it; from now on it is {self._share.packed}."
        )
        self._pool.close()
        self._pool = self._open_pool(self._share)


def lack_of_memory(answer: Any) -> str | None:
    """What the device had no memory for, if the answer says that it had not; else None."""
    match answer:
        case OutOfMemory(reason):
            return reason
        case Outcome() if answer.out_of_memory:
            return (answer.error or "").removeprefix(f"{OUT_OF_MEMORY}: ")
        case Trained():
            return lack_of_memory(answer.outcome)
        case _:
            return None


def infeasible(ticket: int, answer: Any, lack: str) -> Message:
    """What is told of an order for which there is no memory, however few run."""
    error = f"{OUT_OF_MEMORY}, also alone: {lack}"
    match answer:
        case Outcome():
            return Answered(ticket, replace(answer, error=error))
        case Trained(outcome):
            return Answered(ticket, replace(answer, outcome=replace(outcome, error=error)))
        case _:
            return Failed(ticket, error, final=True)
