"""Who comes in: every request is known before its body is read, and before it is told whether its address exists."""

import logging
import time

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import ApiError, ForbiddenError, UnauthorizedError
from api.gate.access import ADMIN_ONLY, OPEN, Caller, from_this_machine, needed_scope
from api.gate.key_cache import KeyCache
from api.gate.rate_limit import Rates
from api.problems import answer_named
from store import api_keys
from store.api_keys import ApiKey, KeyState
from store.errors import StoreError
from store.session import Database

_log = logging.getLogger(__name__)

_HOW = (
    "send 'Authorization: Bearer safs_...' (safs and safs.client take it from SAFS_API_KEY); `safs keys create`, run "
    "where the service runs, makes a key"
)


class Authentication:
    """Sets ``request.state.caller``, or refuses; sets ``request.state.key`` in both cases, if the token is a key's.

    Args:
        requests_per_minute: of a key that says nothing else.
    """

    def __init__(self, app: ASGIApp, *, database: Database, requests_per_minute: int) -> None:
        self.app = app
        self._database = database
        self._key_cache = KeyCache(database)
        self._requests_per_minute = requests_per_minute
        self._rates = Rates()
        self._noted_at: dict[str, float] = {}
        self._one_note = CapacityLimiter(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN:
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        try:
            caller = await self._recognise(request)
            self._admit(caller, request)
        except (ApiError, StoreError) as error:
            refusal = await answer_named(request, error)
            await refusal(scope, receive, send)
            return
        request.state.caller = caller
        await self.app(scope, receive, send)
        if caller.key is not None:
            await self._note_use(caller.key)

    async def _recognise(self, request: Request) -> Caller:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        sent = token.strip() if scheme.lower() == "bearer" else None
        # What tells that the database is away must not need it.
        found = await self._key_cache.find(sent, also_old=request.url.path in ADMIN_ONLY)
        if found.key is None:
            return self._without_key(request, any_key=found.any_key)
        request.state.key = found.key
        if found.key.state is not KeyState.ACTIVE:
            raise UnauthorizedError(f"the key {found.key.prefix} is {found.key.state}; {_HOW}", token_given=True)
        return Caller(found.key)

    def _without_key(self, request: Request, *, any_key: bool) -> Caller:
        if not any_key:
            if from_this_machine(request):
                return Caller(None)
            raise UnauthorizedError(
                f"there are no keys yet, so only programs on the service's own machine may use it; {_HOW}"
            )
        if "authorization" in request.headers:
            raise UnauthorizedError(f"this is not a key of this service; {_HOW}", token_given=True)
        raise UnauthorizedError(f"this needs a key; {_HOW}")

    def _admit(self, caller: Caller, request: Request) -> None:
        if caller.key is not None:
            self._rates.take(caller.key.prefix, caller.key.limits.requests_per_minute or self._requests_per_minute)
        needed = needed_scope(request.method, request.url.path)
        if not caller.allows(needed):
            has = ", ".join(sorted(caller.key.scopes)) if caller.key else ""
            raise ForbiddenError(f"this needs a key with the scope {needed.value!r}, and this one has: {has}")

    async def _note_use(self, key: ApiKey) -> None:
        """At most once a minute, and when the request has been answered: who only reads waits for no writer.

        In a thread of its own, since on SQLite it may wait for a runner that writes, and those that answer are few.
        """
        now = time.monotonic()
        if now - self._noted_at.get(key.prefix, -api_keys.USE_RECORDED_EVERY_S) < api_keys.USE_RECORDED_EVERY_S:
            return
        self._noted_at[key.prefix] = now
        try:
            await to_thread.run_sync(self._write_use, key.prefix, limiter=self._one_note)
        except StoreError as error:
            _log.warning("the use of key %s is not noted: %s", key.prefix, error)

    def _write_use(self, prefix: str) -> None:
        with self._database.begin() as tx:
            api_keys.note_use(tx, prefix)
