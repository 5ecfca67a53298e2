"""HTTP connections with limits on the size and duration of request headers, which arrive before the app is called."""

import asyncio
from asyncio.events import TimerHandle

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADERS_BYTES = 64 * 1024
"""Maximum size of the request line with the headers, and of the trailers of a chunked body."""
HEADERS_S = 20.0
"""Seconds until the headers must be complete, from when the connection opened or the first byte after a response."""

_TOO_LARGE = b"The headers of this request are too large."
_TOO_LARGE_RESPONSE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(_TOO_LARGE), _TOO_LARGE)
)


class BoundedHttpProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP protocol with limits on headers. Bodies that the app reads are limited by the app.

    httptools has no limit: it buffers headers until they are complete, at a cost quadratic in their size. Uvicorn has
    no timer except for idle connections between a response and the next byte.

    Depends on these internals of uvicorn 0.54: the ``on_...`` methods are httptools' callbacks, and uvicorn defines no
    ``on_chunk_header``; ``cycle`` is the newest request; ``data_received`` stops the timer of idle connections,
    ``timeout_keep_alive_task``, and never starts it.

    If a request begins in the same bytes in which another ends, counting starts with the next bytes, so its headers can
    be up to twice as long.
    """

    headers_bytes = HEADERS_BYTES
    headers_s = HEADERS_S

    _in_headers = True  # or between two requests
    _in_trailers = False  # or between the size of a chunk and its first byte
    _counted = 0
    _timer: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._start_timer(self.headers_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed uvicorn at most the remaining bytes of the limit at a time, since ``data`` can be larger."""
        start = 0
        while start < len(data) and not self.transport.is_closing():
            end = start + self.headers_bytes - self._counted
            self._feed(data[start:end])
            start = end

    def _feed(self, data: bytes) -> None:
        if self._in_headers or self._in_trailers:
            self._counted += len(data)
        super().data_received(data)
        if self._counted >= self.headers_bytes:
            self._refuse()
        elif not self._responding():
            self._limit_time()

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._counted = 0
        self._stop_timer()
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """Count the next bytes: they are trailers after the last chunk, or else the body of a chunk."""
        self._in_trailers = True

    def on_body(self, body: bytes) -> None:
        self._in_trailers = False
        self._counted = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_headers = True
        self._in_trailers = False
        self._counted = 0
        self._stop_timer()
        super().on_message_complete()

    def _responding(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self) -> None:
        """Close the connection, with a 431 response if none is being sent."""
        self.logger.warning("Request headers too large.")
        if self._in_headers and not self._responding():
            self.transport.write(_TOO_LARGE_RESPONSE)
        self.transport.close()

    def _limit_time(self) -> None:
        """Make sure that a timer runs, although uvicorn has stopped its own because bytes arrived.

        The bytes can belong to headers; to a body that was answered before it ended, which a client can trickle; or to
        the end of such a body, after which the connection is idle.
        """
        if not self._in_headers:
            self._start_timer(self.timeout_keep_alive)
        elif self._counted:
            self._start_timer(self.headers_s)
        elif self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _start_timer(self, after_s: float) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(after_s, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
