"""Sessions of browsers: a signed cookie that stands for an API key, so that no page ever holds the key.

A cookie is ``<prefix of the key>.<id>.<start>.<last use>.<MAC>``, with times in seconds since 1970. The MAC is an
HMAC-SHA256 under a secret of the service, which is no row of the database: whoever reads a backup cannot make sessions.
The key is looked up at every request, so a session ends with its key.
"""

import hmac
import os
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path

from starlette.requests import HTTPConnection
from starlette.responses import Response

from api.errors import ForbiddenError

SECRET_FILE = "session-secret"
"""File in ``SAFS_HOME`` that holds the secret, unless ``SAFS_SESSION_SECRET`` does."""
RENEWED_EVERY_S = 60
"""Seconds of use after which a cookie is replaced by one with a newer time of last use."""

_COOKIE = re.compile(r"([0-9a-f]{8})\.([0-9a-f]{32})\.(\d{1,12})\.(\d{1,12})\.([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that has signed in with a key."""

    prefix: str
    """Prefix of the key."""
    id: str
    started_at: int
    """Time of the sign-in, in seconds since 1970."""
    used_at: int
    """Time of the last use, accurate to ``RENEWED_EVERY_S``."""


class Sessions:
    """Makes and reads the cookies of sessions.

    Args:
        secret: returns the key of the MAC; called at the first use of a session.
        idle_s: seconds without a request after which a session ends.
        lives_s: seconds after its start at which a session ends.
        clock: seconds since 1970.
    """

    def __init__(
        self, secret: Callable[[], bytes], *, idle_s: float, lives_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._secret, self._idle_s, self._lives_s, self._clock = cache(secret), idle_s, lives_s, clock
        self._ended: dict[str, float] = {}

    @property
    def lives_s(self) -> float:
        """Seconds after its start at which a session ends."""
        return self._lives_s

    def start(self, prefix: str) -> Session:
        """A new session for the key with this prefix."""
        now = int(self._clock())
        return Session(prefix, secrets.token_hex(16), now, now)

    def read(self, request: HTTPConnection) -> Session | None:
        """The session of a request's cookie; None if it has none, or one that is forged, expired or signed out."""
        found = _COOKIE.fullmatch(request.cookies.get(cookie_name(request), ""))
        if found is None or not hmac.compare_digest(found[5], self._mac(found[0][:-65])):
            return None
        session, now = Session(found[1], found[2], int(found[3]), int(found[4])), self._clock()
        is_over = now - session.used_at > self._idle_s or now - session.started_at > self._lives_s
        return None if is_over or session.id in self._ended else session

    def renewed(self, session: Session) -> Session | None:
        """The session with the present time of use, if its cookie is due to be replaced; else None."""
        now = int(self._clock())
        return replace(session, used_at=now) if now - session.used_at >= RENEWED_EVERY_S else None

    def end(self, session: Session) -> None:
        """Refuse the session from now on in this process; others learn of it from ``store.ended_sessions``."""
        now = self._clock()
        self._ended = {one: until for one, until in self._ended.items() if until > now}
        self._ended[session.id] = now + self._lives_s

    def cookie(self, session: Session, request: HTTPConnection) -> str:
        """The value of ``Set-Cookie`` for a session."""
        text = f"{session.prefix}.{session.id}.{session.started_at}.{session.used_at}"
        left_s = max(0, round(session.started_at + self._lives_s - self._clock()))
        return _set_cookie(request, f"{text}.{self._mac(text)}", left_s)

    def _mac(self, text: str) -> str:
        return hmac.new(self._secret(), text.encode(), sha256).hexdigest()


def no_cookie(request: HTTPConnection) -> str:
    """The value of ``Set-Cookie`` that makes a browser forget its session."""
    return _set_cookie(request, "", 0)


def cookie_name(request: HTTPConnection) -> str:
    """The name of the cookie. Over TLS its prefix keeps other hosts of the same domain from setting it."""
    return "__Host-safs_session" if request.url.scheme == "https" else "safs_session"


def require_same_origin(request: HTTPConnection) -> None:
    """Refuse a request that a page of another origin has caused.

    Raises:
        ForbiddenError: the headers do not show that one of the service's own pages made the request.
    """
    site = request.headers.get("sec-fetch-site")
    origin, host = request.headers.get("origin", ""), request.headers.get("host", "")
    if site == "same-origin" or (site is None and host and origin.partition("://")[2] == host):
        return
    raise ForbiddenError("a request with a session must come from a page of this service; send an API key instead")


def read_secret(given: str | None, home: Path) -> bytes:
    """The secret of the service: the given one, or the one in ``home``, which is created if it does not exist."""
    if given is not None:
        return given.encode()
    path = home / SECRET_FILE
    try:
        return bytes.fromhex(path.read_text())
    except FileNotFoundError:
        home.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{SECRET_FILE}.{os.getpid()}")
    new.touch(mode=0o600)
    new.write_text(secrets.token_hex(32))
    try:
        os.link(new, path)  # fails if another process was first, whose secret then holds
    except FileExistsError:
        pass
    finally:
        new.unlink()
    return bytes.fromhex(path.read_text())


def _set_cookie(request: HTTPConnection, value: str, max_age_s: int) -> str:
    answer = Response()
    secure = request.url.scheme == "https"
    answer.set_cookie(
        cookie_name(request), value, max_age=max_age_s, path="/", secure=secure, httponly=True, samesite="strict"
    )
    return answer.headers["set-cookie"]
