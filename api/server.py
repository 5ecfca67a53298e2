"""The app under uvicorn."""

import socket

import uvicorn

from api.app import create_app
from api.event_tail import Line, Tail
from api.gate.connection_limits import BoundedHttpProtocol
from api.settings import ApiSettings

GRACE_S = 10
"""Requests that are still running at a shutdown get this long to end."""
KEEP_ALIVE_S = 75
"""Connections that nobody uses are kept for so long, which is longer than proxies keep theirs (60 s): who closes first
may do so just when the other sends a request, which is then lost."""


def make_server(settings: ApiSettings) -> "Server":
    """A server that is ready to run."""
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=BoundedHttpProtocol,
        ws="none",  # nobody here speaks WebSocket, and its connections would be without our limits
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=KEEP_ALIVE_S,
        server_header=False,
        log_config=None,  # ours; and a line for each request is written by Observation
        access_log=False,
    )
    return Server(config, app.state.services.tail)


class Server(uvicorn.Server):
    """Uvicorn, but streams of events end when it stops: waiting for them would take until their jobs end."""

    def __init__(self, config: uvicorn.Config, tail: Tail[Line]) -> None:
        super().__init__(config)
        self._tail = tail

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._tail.close()
        await super().shutdown(sockets)
