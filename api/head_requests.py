"""HEAD requests: the headers that GET would return, without its body (RFC 9110, section 9.3.2)."""

from anyio import CancelScope
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadRequests:
    """Middleware that answers HEAD by routing it as GET. Add it directly around the router.

    The endpoint is cancelled once its headers are known, so that a file is not read and an event stream ends.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        # The server looks at the method of the outer scope, and sends no body.
        get = {**scope, "method": "GET"}
        with CancelScope() as endpoint:

            async def send_headers(message: Message) -> None:
                if message["type"] == "http.response.start":
                    await send(message)
                    await send({"type": "http.response.body", "body": b""})
                    endpoint.cancel()

            try:
                await self.app(get, receive, send_headers)
            finally:
                # The request log outside reads what the router has found.
                scope.update({name: get[name] for name in ("route", "path_params") if name in get})
