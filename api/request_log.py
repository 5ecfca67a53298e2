"""One log line, one metrics observation and one trace span for every request."""

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

QUIET_PATHS = frozenset({"/livez", "/readyz", "/metrics"})
"""Paths that machines poll. Successful requests are logged at level DEBUG."""
ERROR_STATUS = 400
"""The lowest status of an error."""
SERVER_ERROR = 500
"""The status of a request whose handler raised; the response is made by an outer middleware."""


class RequestLog:
    """Middleware that reports every request after its response has ended. Add it directly inside ``RequestId``.

    It reports the route's template and no part of the query, headers or body, since they can hold secrets.
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
        status, started_s, responded_s = SERVER_ERROR, time.perf_counter(), None

        async def send_and_observe(message: Message) -> None:
            nonlocal status, responded_s
            if message["type"] == "http.response.start":
                status, responded_s = message["status"], time.perf_counter()
            await send(message)

        parent = Headers(scope=scope).get(tracing.HEADER)
        request_id = scope["state"]["request_id"]
        span = tracing.span(method, parent=parent, kind=SpanKind.SERVER, request=request_id)
        with span as current, logs.bound(request=request_id):
            try:
                await self.app(scope, receive, send_and_observe)
            finally:
                ended_s = time.perf_counter()
                route = self._template(scope)
                self._metrics.observe_request(method, route, status, (responded_s or ended_s) - started_s)
                current.update_name(f"{method} {route}")
                if status >= SERVER_ERROR:
                    tracing.fail(f"status {status}")
                _write(scope, method, route, status, ended_s - started_s)

    def _template(self, scope: Scope) -> str:
        """The path template of the request's route.

        For a request that was refused before routing: the first template that matches its path, whatever the method.
        """
        if (template := getattr(scope.get("route"), "path", None)) is not None:
            return str(template)
        if not self._templates:
            self._templates = {path: compile_path(path)[0] for path in scope["app"].openapi()["paths"]}
        return next((path for path, fits in self._templates.items() if fits.match(scope["path"])), NO_ROUTE)


def _write(scope: Scope, method: str, route: str, status: int, seconds: float) -> None:
    extra: dict[str, Any] = {"method": method, "route": route, "status": status, "ms": round(1000 * seconds, 1)}
    if (job_id := scope.get("path_params", {}).get("job_id")) is not None:
        extra["job"] = job_id
    key: ApiKey | None = scope["state"].get("key")
    if key is not None:
        extra |= {"owner": key.owner, "key": key.prefix}
    level = logging.DEBUG if route in QUIET_PATHS and status < ERROR_STATUS else logging.INFO
    _log.log(level, "%s %s %d in %.1f ms", method, route, status, 1000 * seconds, extra=extra)
