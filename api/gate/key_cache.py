"""A cache of API keys, which spares a database query per request."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

from starlette.concurrency import run_in_threadpool

from store import api_keys, ended_sessions
from store.api_keys import ApiKey, KeyState
from store.errors import DatabaseUnavailable, KeyNotFound
from store.session import Database, Transaction

TTL_S = 1.0
"""Seconds a lookup is cached. A revoked or expired key can keep working for that long, and so can a session that signed
out at another process, and requests without a key after the first key was created."""
MAX_STALE_S = 600.0
"""Seconds an expired cache entry can still be used for ``/metrics`` while the database is unavailable."""


@dataclass(frozen=True, slots=True)
class KeyLookup:
    """The key of a token as the database has it."""

    key: ApiKey | None
    """The key in whatever state; None if the token belongs to no key."""
    any_key: bool
    """True if a key has ever been created."""


class KeyCache:
    """Finds keys and queries the database at most once per ``ttl_s`` for each token.

    Not thread-safe; for use in the event loop. Tokens that are not active keys are not cached, so strangers cannot fill
    the memory.

    Args:
        ttl_s: seconds a lookup is cached.
        clock: seconds on a monotonic clock.
    """

    def __init__(
        self, database: Database, *, ttl_s: float = TTL_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._ttl_s = ttl_s
        self._clock = clock
        self._cache: dict[bytes | None, tuple[float, KeyLookup]] = {}

    async def find(self, token: str | None, *, allow_stale: bool = False) -> KeyLookup:
        """Look up the key of ``token``; None stands for a request without a token.

        Args:
            allow_stale: use a cache entry of up to ``MAX_STALE_S`` while the database is unavailable.

        Raises:
            DatabaseUnavailable: the database is unavailable and the cache holds no usable entry.
        """
        name = None if token is None else sha256(token.encode()).digest()  # keeps tokens out of memory
        return await self._cached(name, partial(self._read, token), allow_stale)

    async def find_session(self, prefix: str, session_id: str) -> KeyLookup:
        """Look up the key of a browser's session, as ``find`` does by a token. A session that signed out has no key."""
        return await self._cached(session_id.encode(), partial(self._read_session, prefix, session_id), False)

    async def _cached(self, name: bytes | None, read: Callable[[], KeyLookup], allow_stale: bool) -> KeyLookup:
        now = self._clock()
        read_at, cached = self._cache.get(name, (-float("inf"), None))
        if cached is not None and now - read_at <= self._ttl_s:
            return cached
        try:
            found = await run_in_threadpool(read)
        except DatabaseUnavailable:
            if cached is None or not allow_stale or now - read_at > MAX_STALE_S:
                raise
            return cached
        if name is None or (found.key is not None and found.key.state is KeyState.ACTIVE):
            self._cache[name] = now, found
        else:
            self._cache.pop(name, None)
        return found

    def _read(self, token: str | None) -> KeyLookup:
        def ask(tx: Transaction) -> KeyLookup:
            key = None if token is None else api_keys.find(tx, token)
            return KeyLookup(key, any_key=key is not None or api_keys.exist(tx))

        return self._database.query(ask)

    def _read_session(self, prefix: str, session_id: str) -> KeyLookup:
        def ask(tx: Transaction) -> ApiKey | None:
            return None if ended_sessions.has_ended(tx, session_id) else api_keys.get(tx, prefix)

        try:
            return KeyLookup(self._database.query(ask), any_key=True)
        except KeyNotFound:
            return KeyLookup(None, any_key=True)  # a session is begun with a key
