"""Traces by OpenTelemetry, from the request that submits a job to its last trial.

Without OpenTelemetry's SDK every span is a no-op, and a caller's trace context is passed on as it came.
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
ASKED_BY = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""Any of these variables asks for traces; the exporter reads the rest of the OTEL_* variables itself."""
EXPORT_EVERY_MS = 1000
"""Rather than every five seconds: Ray ends the processes of trials without their exit handlers."""

_W3C = TraceContextTextMapPropagator()


def configure(service: str) -> None:
    """Exports this process's spans to where the environment says; nothing if it says nothing.

    Args:
        service: what the process is, unless ``OTEL_SERVICE_NAME`` says it.
    """
    if not any(os.environ.get(name) for name in ASKED_BY):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("%s is set, but there are no traces: pip install 'safs-service[otel]' first", " or ".join(ASKED_BY))
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
    """A span that lasts as long as the block; what the block raises is its error.

    Args:
        parent: trace context that it belongs to; None is the span around it, if there is one. One that is no W3C
            trace context begins a trace of its own.
        attributes: get the prefix ``safs.``; None is left out.
    """
    tracer = trace.get_tracer("safs")
    named = _named(attributes)
    with tracer.start_as_current_span(name, context=_context(parent), kind=kind, attributes=named) as started:
        yield started


def tell(name: str, *, parent: str | None, began_ns: int, error: str | None, **attributes: str | int | None) -> None:
    """A span that began at ``began_ns`` (since 1970) and ends now; nothing without a trace that it belongs to."""
    if parent is None:
        return
    tracer = trace.get_tracer("safs")
    told = tracer.start_span(name, context=_context(parent), start_time=began_ns, attributes=_named(attributes))
    if error is not None:
        told.set_status(StatusCode.ERROR, error)
    told.end()


def traceparent() -> str | None:
    """The trace context of now, for who goes on elsewhere; None if there is no trace."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return carrier.get(HEADER)


def fail(reason: str) -> None:
    """Marks the span of now as failed."""
    trace.get_current_span().set_status(StatusCode.ERROR, reason)


def _named(attributes: Mapping[str, str | int | None]) -> dict[str, str | int]:
    return {f"safs.{name}": value for name, value in attributes.items() if value is not None}


def _context(parent: str | None) -> Context | None:
    carrier: Mapping[str, str] = {} if parent is None else {HEADER: parent}
    return None if parent is None else _W3C.extract(carrier, context=Context())
