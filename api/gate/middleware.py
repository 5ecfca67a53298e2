"""ASGI middleware for every request: a request id, a limit on the body, and a response to unexpected errors."""

import re
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import BodyTooLargeError
from api.problems import REQUEST_ID_HEADER, respond_to_unexpected_error

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestId:
    """Sets ``request.state.request_id`` to the client's X-Request-ID if it is well-formed, otherwise to a new id."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        await self.app(scope, receive, send_with_id)


class BodyLimit:
    """Refuses bodies above ``limit_bytes``, with or without a Content-Length, except where ``exempt`` says so.

    Args:
        exempt: a path, and a beginning of paths that ends with a slash.
    """

    def __init__(self, app: ASGIApp, *, limit_bytes: int, exempt: tuple[str, str]) -> None:
        self.app = app
        self.limit_bytes = limit_bytes
        self.exempt = exempt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == self.exempt[0] or scope["path"].startswith(self.exempt[1]):
            await self.app(scope, receive, send)
            return
        content_length = Headers(scope=scope).get("content-length", "")
        size_bytes = int(content_length) if content_length.isdecimal() else 0

        async def limited_receive() -> Message:
            nonlocal size_bytes
            if size_bytes <= self.limit_bytes:
                message = await receive()
                if not content_length.isdecimal():
                    size_bytes += len(message.get("body", b""))
            if size_bytes > self.limit_bytes:
                raise BodyTooLargeError(self.limit_bytes)
            return message

        await self.app(scope, limited_receive, send)


class UnexpectedErrors:
    """Responds to errors that no handler expects with a problem, and keeps the connection.

    Starlette would respond and raise the error again. The server then closes the connection without a word, and the
    client's next request on it is lost.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_and_observe(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_and_observe)
        except Exception as error:
            if started:  # The client must see that the response is incomplete.
                raise
            response = await respond_to_unexpected_error(Request(scope), error)
            await response(scope, receive, send)
