"""Traces (OpenTelemetry): one follows a call through every service, over HTTP, NATS headers and `_meta` (W3C).

Each service has a tracer of its own, also where several share a process: whoever serves says so once, and what it
starts inherits it. Spans hold ids, counts and names of parts; never a text, a query, or the name of a user or app.
`runtime.tracing` exports them. Names of attributes are OpenTelemetry's semantic conventions.
"""

import os
import re
import socket
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import version

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import INVALID_SPAN, Link, NoOpTracer, Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

_PROPAGATOR = TraceContextTextMapPropagator()
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")
_SILENT = NoOpTracer()
_TRACER: ContextVar[Tracer] = ContextVar("memlog_tracer", default=_SILENT)
_TO: ContextVar[SpanProcessor | None] = ContextVar("memlog_spans_to", default=None)
Attributes = Mapping[str, AttributeValue]


def resource(service: str) -> Resource:
    """What traces and metrics say of where they come from. OTEL_RESOURCE_ATTRIBUTES may add to it."""
    return Resource.create(
        {
            "service.name": f"memlog-{service}",
            "service.namespace": "memlog",
            "service.version": version("memlog-runtime"),
            "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
        }
    )


def trace_to(processor: SpanProcessor | None) -> None:
    """Where the spans of all services go that begin from here on, in this task and what it starts; None: nowhere, but
    requests have trace ids all the same."""
    _TO.set(processor)


def trace_as(service: str) -> None:
    """From here on, in this task and what it starts, spans are of this service."""
    processor = _TO.get()
    provider = TracerProvider(
        # The environment chooses the sampler (OTEL_TRACES_SAMPLER); what goes nowhere need not be recorded.
        sampler=None if processor is not None else ALWAYS_OFF,
        resource=resource(service),
        shutdown_on_exit=False,  # `runtime.tracing` ends what it began, and does not wait for ever
    )
    if processor is not None:
        provider.add_span_processor(processor)
    _TRACER.set(provider.get_tracer("memlog"))


def trace_headers(of: Context | None = None) -> dict[str, str]:
    """The current trace context (or another) as headers (`traceparent`, `tracestate`), empty outside a trace."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, of)
    return carrier


def trace_id(headers: Mapping[str, str]) -> str | None:
    """The id (32 hex digits) of the trace that headers carry, if they carry one."""
    found = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    return None if found is None else found[1]


def carried(headers: Mapping[str, str]) -> dict[str, str]:
    """The trace context that headers carry, as headers, and nothing else of them."""
    return {name: headers[name] for name in ("traceparent", "tracestate") if name in headers}


def extract(headers: Mapping[str, str] | None) -> Context:
    """The trace context that headers carry."""
    return _PROPAGATOR.extract(headers or {})


def begin(
    name: str,
    parent: Context | None = None,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Attributes | None = None,
    links: Sequence[Link] = (),
) -> Span:
    """A span in the current trace, or in that of `parent`. The caller ends it; it is not made the current one."""
    return _TRACER.get().start_span(name, parent, kind, attributes, links)


@contextmanager
def span(
    name: str,
    headers: Mapping[str, str] | None = None,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Attributes | None = None,
    links: Sequence[Link] = (),
) -> Generator[Span]:
    """A span with which work of this service begins: in the trace that `headers` carry (None: in the current one), or
    in a new one."""
    parent = context.get_current() if headers is None else extract(headers)
    begun = begin(name, parent, kind=kind, attributes=attributes, links=links)
    with being(begun):
        yield begun


class step:
    """A span within the current one, for the length of a block; where that is not recorded, nothing, at no cost."""

    # Not a generator: of these a call has several, and a generator makes each a quarter dearer.
    __slots__ = ("_attributes", "_begun", "_kind", "_name", "_token")

    def __init__(self, name: str, attributes: Attributes | None = None, kind: SpanKind = SpanKind.CLIENT) -> None:
        self._name = name
        self._attributes = attributes
        self._kind = kind
        self._begun: Span | None = None

    def __enter__(self) -> Span:
        if not trace.get_current_span().is_recording():
            return INVALID_SPAN
        self._begun = begun = _TRACER.get().start_span(self._name, None, self._kind, self._attributes)
        self._token = context.attach(trace.set_span_in_context(begun))
        return begun

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        begun = self._begun
        if begun is None:
            return
        if kind is not None and issubclass(kind, Exception):
            failed(begun, kind.__name__)
        context.detach(self._token)
        begun.end()


@contextmanager
def being(begun: Span) -> Generator[None]:
    """Within the block the span is the current one; at the end of it, it ends."""
    token = context.attach(trace.set_span_in_context(begun))
    try:
        yield
    except Exception as error:
        failed(begun, type(error).__name__)
        raise
    finally:
        context.detach(token)
        begun.end()


def failed(of: Span, kind: str) -> None:
    """Mark a span as failed, by the kind of error alone: messages may repeat what somebody said."""
    of.set_attribute("error.type", kind)
    of.set_status(Status(StatusCode.ERROR))
