"""Keys that were looked up a moment ago, so that the database is not asked about its key at every request."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from starlette.concurrency import run_in_threadpool

from store import keys
from store.keys import ApiKey
from store.session import Database, Transaction

KEPT_S = 1.0
"""For so long a key may still work that was revoked, or that has expired; and while there are none, so long after the
first was made this machine's own programs may come in without."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the database says of a token."""

    key: ApiKey | None
    """Whatever its state; None if there is no such key."""
    any_key: bool
    """Whether a key was ever made."""


class Keyring:
    """Finds keys, in the database at most once in ``kept_s`` for each of them.

    For the event loop alone. What is no key is looked up each time, so strangers fill nothing.
    """

    def __init__(
        self, database: Database, *, kept_s: float = KEPT_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._kept_s = kept_s
        self._clock = clock
        self._kept: dict[bytes, tuple[float, Found]] = {}

    async def find(self, token: str | None) -> Found:
        """The key of ``token``; None is a caller who sent none."""
        now = self._clock()
        name = sha256((token or "").encode()).digest()  # no token is held in memory
        read_at, found = self._kept.get(name, (-float("inf"), None))
        if found is None or now - read_at > self._kept_s:
            found = await run_in_threadpool(self._read, token)
            if found.key is not None or token is None:
                self._kept[name] = now, found
        return found

    def _read(self, token: str | None) -> Found:
        def ask(tx: Transaction) -> Found:
            key = None if token is None else keys.find(tx, token)
            return Found(key, any_key=key is not None or keys.exist(tx))

        return self._database.ask(ask)
