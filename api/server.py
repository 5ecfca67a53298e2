"""Runs the app under uvicorn."""

import socket

import uvicorn

from api.app import create_app
from api.event_tail import EncodedEvent, Tail
from api.gate.connection_limits import BoundedHttpProtocol
from api.settings import ApiSettings

GRACE_S = 10
"""Seconds that running requests get to end at a shutdown."""
KEEP_ALIVE_S = 75
"""Seconds an idle connection is kept open. It exceeds the 60 s of common proxies, so that the proxy closes first.
A server that closes first can do so while the proxy sends a request, which is then lost."""


def make_server(settings: ApiSettings) -> "Server":
    """A server for the app, ready to run."""
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=BoundedHttpProtocol,
        ws="none",  # the app has no WebSockets, and their connections would bypass the limits
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=KEEP_ALIVE_S,
        server_header=False,
        log_config=None,  # logging is configured by ``telemetry``; RequestLog writes a line for each request
        access_log=False,
    )
    return Server(config, app.state.services.tail)


class Server(uvicorn.Server):
    """A uvicorn server that ends event streams at its shutdown; otherwise it would wait until their jobs end."""

    def __init__(self, config: uvicorn.Config, tail: Tail[EncodedEvent]) -> None:
        super().__init__(config)
        self._tail = tail

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._tail.close()
        await super().shutdown(sockets)
