"""What is told of every request: a line of the log, an observation for the metrics, a span of its trace."""

import logging
import time
from re import Pattern
from typing import Any

from opentelemetry.trace import SpanKind
from starlette.datastructures import Headers
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.prometheus import NO_ROUTE, Metrics
from store.api_keys import ApiKey
from telemetry import logs, tracing

_log = logging.getLogger(__name__)

QUIET = frozenset({"/livez", "/readyz", "/metrics"})
"""Asked every few seconds by machines: logged for debugging only, as long as nothing is wrong."""
REFUSED = 400
"""The least status that says that something is wrong."""
BROKE = 500
"""The status of a request that raised: it is answered further out."""


class Observation:
    """Tells of every request once its answer has ended; belongs directly within ``RequestId``.

    Only the route's template is told, and none of the query, the headers or the body: they may hold secrets.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self.app = app
        self._metrics = metrics
        self._templates: dict[str, Pattern[str]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        method: str = scope["method"]
        status, begun_s, answered_s = BROKE, time.perf_counter(), None

        async def send_noting(message: Message) -> None:
            nonlocal status, answered_s
            if message["type"] == "http.response.start":
                status, answered_s = message["status"], time.perf_counter()
            await send(message)

        parent = Headers(scope=scope).get(tracing.HEADER)
        request_id = scope["state"]["request_id"]
        span = tracing.span(method, parent=parent, kind=SpanKind.SERVER, request=request_id)
        with span as started, logs.bound(request=request_id):
            try:
                await self.app(scope, receive, send_noting)
            finally:
                ended_s = time.perf_counter()
                route = self._template(scope)
                self._metrics.note_request(method, route, status, (answered_s or ended_s) - begun_s)
                started.update_name(f"{method} {route}")
                if status >= BROKE:
                    tracing.fail(f"answered {status}")
                _tell(scope, method, route, status, ended_s - begun_s)

    def _template(self, scope: Scope) -> str:
        """The path of the endpoint that answered, with the names of its parameters in place of their values.

        Where a request was refused before any endpoint, that of the first whose address it is, whatever the method.
        """
        if (answered := getattr(scope.get("route"), "path", None)) is not None:
            return str(answered)
        if not self._templates:
            self._templates = {path: compile_path(path)[0] for path in scope["app"].openapi()["paths"]}
        return next((path for path, fits in self._templates.items() if fits.match(scope["path"])), NO_ROUTE)


def _tell(scope: Scope, method: str, route: str, status: int, seconds: float) -> None:
    told: dict[str, Any] = {"method": method, "route": route, "status": status, "ms": round(1000 * seconds, 1)}
    if (job_id := scope.get("path_params", {}).get("job_id")) is not None:
        told["job"] = job_id
    key: ApiKey | None = scope["state"].get("key")
    if key is not None:
        told |= {"owner": key.owner, "key": key.prefix}
    level = logging.DEBUG if route in QUIET and status < REFUSED else logging.INFO
    _log.log(level, "%s %s %d in %.1f ms", method, route, status, 1000 * seconds, extra=told)
