"""Trace context (W3C) across HTTP, NATS headers and `_meta`: one trace follows a call through every service."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PROPAGATOR = TraceContextTextMapPropagator()


def configure_tracing(service: str) -> None:
    """Install a tracer provider for this process, once. Spans get ids and are propagated; exporters are added where
    an endpoint is configured."""
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        trace.set_tracer_provider(TracerProvider(resource=Resource({"service.name": service})))


def trace_headers() -> dict[str, str]:
    """The current trace context as headers (`traceparent`, `tracestate`), empty outside a trace."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier


def extract(headers: Mapping[str, str] | None) -> Context:
    """The trace context that headers carry."""
    return _PROPAGATOR.extract(headers or {})


@contextmanager
def span(name: str, headers: Mapping[str, str] | None = None) -> Generator[trace.Span]:
    """A span, as a child of what `headers` carry (or of the current one). Never put memory text in it."""
    parent = extract(headers) if headers is not None else context.get_current()
    with trace.get_tracer("memlog").start_as_current_span(name, context=parent) as current:
        yield current
