"""Addresses of a service behind a proxy that serves it under a prefix and strips the prefix (``SAFS_ROOT_PATH``)."""

from urllib.parse import urlsplit, urlunsplit

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class RootPath:
    """Middleware that puts the prefix before the path of every ``Location`` header.

    It drops scheme and host, which a proxy can change too. The client completes the address from its own request.

    Args:
        root_path: the prefix, such as ``/safs``; empty without a prefix.
    """

    def __init__(self, app: ASGIApp, *, root_path: str) -> None:
        self.app = app
        self.root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_prefix(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if (location := headers.get("location")) is not None:
                    _, _, path, query, fragment = urlsplit(location)
                    headers["location"] = urlunsplit(("", "", self.root_path + path, query, fragment))
            await send(message)

        await self.app(scope, receive, send_with_prefix)
