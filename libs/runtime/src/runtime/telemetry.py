"""Trace context (W3C) across HTTP, NATS headers and `_meta`: one trace follows a call through every service."""

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PROPAGATOR = TraceContextTextMapPropagator()
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")


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


def trace_id(headers: Mapping[str, str]) -> str | None:
    """The id (32 hex digits) of the trace that headers carry, if they carry one."""
    found = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    return None if found is None else found[1]


def extract(headers: Mapping[str, str] | None) -> Context:
    """The trace context that headers carry."""
    return _PROPAGATOR.extract(headers or {})


@contextmanager
def span(name: str, headers: Mapping[str, str] | None = None) -> Generator[trace.Span]:
    """A span, as a child of what `headers` carry (or of the current one). Never put memory text in it."""
    parent = extract(headers) if headers is not None else context.get_current()
    with trace.get_tracer("memlog").start_as_current_span(name, context=parent) as current:
        yield current
