"""What happens to every request before its endpoint: it gets a name, and its body a limit."""

import re
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import BodyTooLargeError
from api.problems import REQUEST_ID_HEADER

_ALLOWED = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestId:
    """Sets ``request.state.request_id``: the caller's X-Request-ID where that is harmless, else a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        request_id = given if _ALLOWED.fullmatch(given) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        await self.app(scope, receive, send_with_id)


class BodyLimit:
    """Refuses bodies above ``limit_bytes``, announced or not, everywhere but at the paths in ``exempt``."""

    def __init__(self, app: ASGIApp, *, limit_bytes: int, exempt: frozenset[str]) -> None:
        self.app = app
        self.limit_bytes = limit_bytes
        self.exempt = exempt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self.exempt:
            await self.app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        size_bytes = int(announced) if announced.isdecimal() else 0

        async def receive_some() -> Message:
            nonlocal size_bytes
            if size_bytes <= self.limit_bytes:
                message = await receive()
                if not announced.isdecimal():
                    size_bytes += len(message.get("body", b""))
            if size_bytes > self.limit_bytes:
                raise BodyTooLargeError(self.limit_bytes)
            return message

        await self.app(scope, receive_some, send)
