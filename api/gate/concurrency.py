"""Places for what takes long, so many for all and so many for each owner."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary

from api.errors import BusyError

PATIENCE_S = 45.0
"""Who waits for a place so long is told to come again: clients give up a silent connection after a minute."""


class Places:
    """Who comes when all places are taken waits in line, and so does an owner who has all of its own.

    An owner who wants many things at once stands in that line with few of them, whatever it sends: others wait for
    those few, not for all.

    Args:
        what: takes a place, for who is turned away.
        count: places.
        of_one: those that one owner may have or stand in line for.
    """

    def __init__(self, what: str, count: int, of_one: int, *, patience_s: float = PATIENCE_S) -> None:
        self._what, self._of_one, self._patience_s = what, of_one, patience_s
        self._all = asyncio.Semaphore(count)
        self._owners: WeakValueDictionary[str | None, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def place(self, owner: str | None) -> AsyncIterator[None]:
        """Has a place while the block runs; raises ``BusyError`` if none was free for long."""
        own = self._owners.setdefault(owner, asyncio.Semaphore(self._of_one))
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._patience_s):
                    await held.enter_async_context(own)
                    await held.enter_async_context(self._all)
            except TimeoutError:
                raise BusyError(f"the service has as many {self._what} under way as it takes; come again") from None
            yield
