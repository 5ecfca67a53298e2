"""HTTP connections with limits on what comes before the app: request headers, and who takes their time over them."""

import asyncio
from asyncio.events import TimerHandle

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADERS_BYTES = 64 * 1024
"""Request line and headers may have so many bytes, and so may the trailers of a chunked body."""
HEADERS_S = 20.0
"""They must be complete so long after the connection was opened, or after the first byte that follows an answer."""

_TOO_LARGE = b"The headers of this request are too large."
_ANSWER_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(_TOO_LARGE), _TOO_LARGE)
)


class BoundedHttpProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, but headers end soon or the connection does; bodies that the app reads are left to the app.

    httptools has no limit: it holds headers until they are complete, at a cost that grows with their square. Uvicorn
    has no timer but the one between an answer and the next byte.

    Relies on this of uvicorn (0.54): ``on_...`` are httptools' callbacks, of which it has no ``on_chunk_header``;
    ``cycle`` is the newest request; ``data_received`` stops the timer of idle connections,
    ``timeout_keep_alive_task``, and never starts it.
    A request that begins in the same bytes in which another ends is counted from the next bytes on, so that its headers
    may be up to twice as long.
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
        """Feeds uvicorn no more than is left of the limit at a time: what arrives at once may be larger than it."""
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
        elif not self._answering():
            self._limit_time()

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._counted = 0
        self._stop_timer()
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """Whether trailers follow or a chunk, only the next bytes tell."""
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

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self) -> None:
        """Closes the connection; says why where an answer is due."""
        self.logger.warning("Request headers too large.")
        if self._in_headers and not self._answering():
            self.transport.write(_ANSWER_TOO_LARGE)
        self.transport.close()

    def _limit_time(self) -> None:
        """Sees to it that a timer runs although bytes have come.

        Some were of headers; or of a body that was answered before it ended, and somebody may send the rest of it byte
        by byte; or they were the end of such a body, and the connection is idle.
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
