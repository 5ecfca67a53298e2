"""Security headers of every response, and CORS."""

from collections.abc import Mapping
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECURITY_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""Default headers of every response. HSTS is left to the proxy that terminates TLS."""

CORS: Mapping[str, Any] = {
    "allow_methods": ("GET", "HEAD", "POST"),
    "allow_headers": (
        "Authorization",
        "Content-Type",
        "Idempotency-Key",
        "If-None-Match",
        "Last-Event-ID",
        "X-Request-ID",
    ),
    "expose_headers": ("ETag", "Idempotent-Replayed", "Location", "Retry-After", "WWW-Authenticate", "X-Request-ID"),
}
"""Options of the CORS middleware, which is added only if ``SAFS_CORS_ORIGINS`` is set."""


class SecurityHeaders:
    """Middleware that adds ``SECURITY_HEADERS`` to every response, unless the response sets them."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers)
