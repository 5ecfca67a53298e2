"""Authentication, authorization and rate limiting of every request, before its body is read or its route is found."""

import logging
import time

from anyio import CapacityLimiter, to_thread
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import ApiError, ForbiddenError, UnauthorizedError
from api.gate.access import ADMIN_PATHS, SAFE_METHODS, Caller, is_local_request, is_public, needed_scope
from api.gate.key_cache import KeyCache
from api.gate.rate_limit import RateLimiter
from api.gate.sessions import Session, Sessions, require_same_origin
from api.problems import respond_to_error
from store import api_keys
from store.api_keys import ApiKey, KeyState
from store.errors import StoreError
from store.session import Database

_log = logging.getLogger(__name__)

_HINT = (
    "send 'Authorization: Bearer safs_...' (safs and safs.client read the key from SAFS_API_KEY); `safs keys create`, "
    "run where the service runs, creates a key"
)


class Authentication:
    """ASGI middleware that sets ``request.state.caller`` or refuses the request.

    If the token belongs to a key, ``request.state.key`` is set in both cases.

    Args:
        sessions: reads the cookies of browsers that have signed in.
        requests_per_minute: rate limit of keys without a limit of their own.
    """

    def __init__(self, app: ASGIApp, *, database: Database, sessions: Sessions, requests_per_minute: int) -> None:
        self.app = app
        self._database = database
        self._key_cache = KeyCache(database)
        self._sessions = sessions
        self._requests_per_minute = requests_per_minute
        self._rate_limiter = RateLimiter()
        self._use_recorded_at: dict[str, float] = {}
        self._use_recorder = CapacityLimiter(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_public(scope["method"], scope["path"]):
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        try:
            caller = await self._authenticate(request)
            self._authorize(caller, request)
        except (ApiError, StoreError) as error:
            refusal = await respond_to_error(request, error)
            await refusal(scope, receive, send)
            return
        request.state.caller = caller
        await self.app(scope, receive, self._renewing(request, send))
        if caller.key is not None:
            await self._record_use(caller.key)

    async def _authenticate(self, request: Request) -> Caller:
        session = None if "authorization" in request.headers else self._sessions.read(request)
        if session is not None:
            return await self._authenticate_session(request, session)
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        token = credentials.strip() if scheme.lower() == "bearer" else None
        # /metrics reports that the database is unavailable, so it must work without it.
        found = await self._key_cache.find(token, allow_stale=request.url.path in ADMIN_PATHS)
        if found.key is None:
            return self._without_key(request, any_key=found.any_key)
        request.state.key = found.key
        if found.key.state is not KeyState.ACTIVE:
            raise UnauthorizedError(f"the key {found.key.prefix} is {found.key.state}; {_HINT}", token_given=True)
        return Caller(found.key)

    async def _authenticate_session(self, request: Request, session: Session) -> Caller:
        if request.method not in SAFE_METHODS:
            require_same_origin(request)
        key = (await self._key_cache.find_session(session.prefix, session.id)).key
        if key is None or key.state is not KeyState.ACTIVE:
            raise UnauthorizedError("this session was signed out, or its key is no longer valid; sign in again")
        request.state.key, request.state.session = key, session
        return Caller(key)

    def _renewing(self, request: Request, send: Send) -> Send:
        """``send`` that also replaces the cookie of a session in use, if it is due."""
        session: Session | None = getattr(request.state, "session", None)
        newer = None if session is None else self._sessions.renewed(session)
        if newer is None:
            return send

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("Set-Cookie", self._sessions.cookie(newer, request))
            await send(message)

        return send_with_cookie

    def _without_key(self, request: Request, *, any_key: bool) -> Caller:
        if not any_key:
            if is_local_request(request):
                return Caller(None)
            raise UnauthorizedError(
                f"no API key exists yet, so only programs on the service's own machine may use it; {_HINT}"
            )
        if "authorization" in request.headers:
            raise UnauthorizedError(f"the Authorization header holds no key of this service; {_HINT}", token_given=True)
        raise UnauthorizedError(f"this request needs an API key; {_HINT}")

    def _authorize(self, caller: Caller, request: Request) -> None:
        if caller.key is not None:
            per_minute = caller.key.limits.requests_per_minute or self._requests_per_minute
            self._rate_limiter.take(caller.key.prefix, per_minute)
        needed = needed_scope(request.method, request.url.path)
        if caller.key is not None and not caller.allows(needed):
            raise ForbiddenError(
                f"this request needs a key with the scope {needed.value!r}; the key {caller.key.prefix} has "
                f"{', '.join(sorted(caller.key.scopes))}"
            )

    async def _record_use(self, key: ApiKey) -> None:
        """Record the time of use, at most once a minute and after the response, so that reads wait for no writer.

        The write runs in a thread of its own: on SQLite it can wait for a runner's transaction, and the threads that
        answer requests are few.
        """
        now = time.monotonic()
        if now - self._use_recorded_at.get(key.prefix, -api_keys.USE_RECORDED_EVERY_S) < api_keys.USE_RECORDED_EVERY_S:
            return
        self._use_recorded_at[key.prefix] = now
        try:
            await to_thread.run_sync(self._write_use, key.prefix, limiter=self._use_recorder)
        except StoreError as error:
            _log.warning("the use of key %s was not recorded: %s", key.prefix, error)

    def _write_use(self, prefix: str) -> None:
        with self._database.begin() as tx:
            api_keys.note_use(tx, prefix)
