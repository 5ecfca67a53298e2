"""Traces with OpenTelemetry, from the request that submits a job to its last trial.

Without OpenTelemetry's SDK every span is a no-op, and the caller's trace context is passed on unchanged.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

log = logging.getLogger(__name__)

HEADER = "traceparent"
ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""Traces are exported if any of these variables is set; the exporter reads the other OTEL_* variables itself."""
EXPORT_EVERY_MS = 1000
"""Milliseconds between two exports; shorter than OpenTelemetry's 5000, since Ray kills trials without exit handlers."""

_W3C = TraceContextTextMapPropagator()


def configure(service: str) -> None:
    """Export this process's spans to the endpoint in the environment; without one, do nothing.

    Args:
        service: name of the service, unless ``OTEL_SERVICE_NAME`` is set.
    """
    if not any(os.environ.get(name) for name in ENDPOINT_VARIABLES):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        variables = " or ".join(ENDPOINT_VARIABLES)
        log.warning("%s is set, but traces are not exported: pip install 'safs-service[otel]' first", variables)
        return
    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": service}
    provider = TracerProvider(resource=Resource.create(named))
    every_ms = None if os.environ.get("OTEL_BSP_SCHEDULE_DELAY") else EXPORT_EVERY_MS
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=every_ms))
    trace.set_tracer_provider(provider)


@contextmanager
def span(
    name: str, *, parent: str | None = None, kind: SpanKind = SpanKind.INTERNAL, **attributes: str | int | None
) -> Iterator[Span]:
    """A span around the block; an exception from the block is recorded as its error.

    Args:
        parent: W3C trace context of the parent; None for the current span, if there is one. A value that is not a
            valid trace context starts a new trace.
        attributes: attributes of the span, to whose names ``safs.`` is prepended; None is left out.
    """
    tracer = trace.get_tracer("safs")
    named = _named(attributes)
    with tracer.start_as_current_span(name, context=_context(parent), kind=kind, attributes=named) as started:
        yield started


def record_span(
    name: str, *, parent: str | None, began_ns: int, error: str | None, **attributes: str | int | None
) -> None:
    """Record a span that began at ``began_ns`` (nanoseconds since 1970) and ends now; without a parent, do nothing."""
    if parent is None:
        return
    tracer = trace.get_tracer("safs")
    recorded = tracer.start_span(name, context=_context(parent), start_time=began_ns, attributes=_named(attributes))
    if error is not None:
        recorded.set_status(StatusCode.ERROR, error)
    recorded.end()


def traceparent() -> str | None:
    """The current W3C trace context, to be passed to another process; None if there is no trace."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return carrier.get(HEADER)


def fail(reason: str) -> None:
    """Mark the current span as failed."""
    trace.get_current_span().set_status(StatusCode.ERROR, reason)


def _named(attributes: Mapping[str, str | int | None]) -> dict[str, str | int]:
    return {f"safs.{name}": value for name, value in attributes.items() if value is not None}


def _context(parent: str | None) -> Context | None:
    carrier: Mapping[str, str] = {} if parent is None else {HEADER: parent}
    return None if parent is None else _W3C.extract(carrier, context=Context())
