"""Signing in with an API key, and out: the two requests of the pages that are not part of ``/v1``."""

from collections.abc import Callable

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from api.errors import RateLimitedError, UnauthorizedError
from api.gate.access import SIGN_IN, SIGN_OUT
from api.gate.rate_limit import RateLimiter
from api.gate.sessions import Sessions, no_cookie, require_same_origin
from store import api_keys, ended_sessions
from store.api_keys import ApiKey, KeyState
from store.session import Database

TRIES_PER_MINUTE = 10
"""Sign-ins that one address may try in a minute."""
ALL_TRIES_PER_MINUTE = 120
"""Sign-ins that all addresses together may try in a minute; it also bounds the addresses that are remembered."""


class SignIn(BaseModel):
    """Body of a sign-in."""

    key: str = Field(min_length=1, max_length=200)


def sign_in_routes(database: Database, sessions: Sessions, limiter: Callable[[], RateLimiter]) -> APIRouter:
    """The routes; ``limiter`` makes the counters of tries."""
    router = APIRouter(include_in_schema=False)
    everybody, each = limiter(), limiter()

    @router.post(SIGN_IN)
    async def sign_in(request: Request, given: SignIn) -> Response:
        require_same_origin(request)
        _take(everybody, "all", ALL_TRIES_PER_MINUTE)
        _take(each, request.client.host if request.client else "", TRIES_PER_MINUTE)
        key = await run_in_threadpool(database.query, lambda tx: api_keys.find(tx, given.key.strip()))
        prefix = _usable(key).prefix
        return Response(status_code=204, headers={"Set-Cookie": sessions.cookie(sessions.start(prefix), request)})

    @router.post(SIGN_OUT)
    async def sign_out(request: Request) -> Response:
        require_same_origin(request)
        session = sessions.read(request)
        if session is not None:
            await run_in_threadpool(_end, database, session.id, sessions.lives_s)
            sessions.end(session)
        return Response(status_code=204, headers={"Set-Cookie": no_cookie(request)})

    return router


def _end(database: Database, session_id: str, lives_s: float) -> None:
    with database.begin() as tx:
        ended_sessions.end(tx, session_id, lives_s=lives_s)


def _take(limiter: RateLimiter, who: str, per_minute: int) -> None:
    try:
        limiter.take(who, per_minute)
    except RateLimitedError as error:
        message = f"too many sign-ins were tried; try again in {error.retry_after_s} s"
        raise RateLimitedError(message, retry_after_s=error.retry_after_s) from None


def _usable(key: ApiKey | None) -> ApiKey:
    if key is None:
        raise UnauthorizedError("this is no key of this service; `safs keys create` makes one", token_given=True)
    if key.state is not KeyState.ACTIVE:
        raise UnauthorizedError(f"the key {key.prefix} is {key.state}", token_given=True)
    return key
