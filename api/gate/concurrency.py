"""Limits on how many slow operations run at the same time, in total and per owner."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary

from api.errors import BusyError

MAX_WAIT_S = 45.0
"""Seconds a request waits for a slot before it is refused. Clients give up a silent connection after 60 s."""


class ConcurrencyLimit:
    """A semaphore with a limit per owner.

    A request waits in a first-in, first-out queue if all slots are taken, or before that queue if its owner already has
    ``per_owner`` requests running or in the queue. So one owner cannot fill the queue, whatever it sends.

    Args:
        operation: plural name of the limited operation, for the error message.
        total: slots.
        per_owner: slots that one owner can hold or queue for.
        max_wait_s: seconds a request waits for a slot.
    """

    def __init__(self, operation: str, total: int, *, per_owner: int, max_wait_s: float = MAX_WAIT_S) -> None:
        self._operation, self._total, self._per_owner, self._max_wait_s = operation, total, per_owner, max_wait_s
        self._slots = asyncio.Semaphore(total)
        self._owners: WeakValueDictionary[str | None, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def slot(self, owner: str | None) -> AsyncIterator[None]:
        """Hold a slot while the block runs.

        Raises:
            BusyError: no slot came free within ``max_wait_s``.
        """
        owner_slots = self._owners.setdefault(owner, asyncio.Semaphore(self._per_owner))
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._max_wait_s):
                    await held.enter_async_context(owner_slots)
                    await held.enter_async_context(self._slots)
            except TimeoutError:
                raise BusyError(
                    f"no slot for {self._operation} came free within {self._max_wait_s:g} s (limit: {self._total} at "
                    f"once, {self._per_owner} per owner); send the request again later"
                ) from None
            yield
