"""Keys that were looked up a moment ago, so that the database is not asked about its key at every request."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from starlette.concurrency import run_in_threadpool

from store import api_keys
from store.api_keys import ApiKey, KeyState
from store.errors import DatabaseUnavailable
from store.session import Database, Transaction

KEPT_S = 1.0
"""For so long a key may still work that was revoked, or that has expired; and while there are none, so long after the
first was made this machine's own programs may come in without."""
AWAY_S = 600.0
"""For so long after it was last read an answer may hold while the database is away: else nobody could ask ``/metrics``
whether it is."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the database says of a token."""

    key: ApiKey | None
    """Whatever its state; None if there is no such key."""
    any_key: bool
    """Whether a key was ever made."""


class KeyCache:
    """Finds keys, in the database at most once in ``kept_s`` for each of them.

    For the event loop alone. What is no key that works is looked up each time, so strangers fill nothing.
    """

    def __init__(
        self, database: Database, *, kept_s: float = KEPT_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._kept_s = kept_s
        self._clock = clock
        self._kept: dict[bytes, tuple[float, Found]] = {}

    async def find(self, token: str | None, *, also_old: bool = False) -> Found:
        """The key of ``token``; None is a caller who sent none.

        Args:
            also_old: while the database is away, what it said of this token within ``AWAY_S`` will do.

        Raises:
            DatabaseUnavailable: it is away, and there is nothing that will do.
        """
        now = self._clock()
        name = sha256((token or "").encode()).digest()  # no token is held in memory
        read_at, kept = self._kept.get(name, (-float("inf"), None))
        if kept is not None and now - read_at <= self._kept_s:
            return kept
        try:
            found = await run_in_threadpool(self._read, token)
        except DatabaseUnavailable:
            if kept is None or not also_old or now - read_at > AWAY_S:
                raise
            return kept
        if token is None or (found.key is not None and found.key.state is KeyState.ACTIVE):
            self._kept[name] = now, found
        else:
            self._kept.pop(name, None)
        return found

    def _read(self, token: str | None) -> Found:
        def ask(tx: Transaction) -> Found:
            key = None if token is None else api_keys.find(tx, token)
            return Found(key, any_key=key is not None or api_keys.exist(tx))

        return self._database.query(ask)
