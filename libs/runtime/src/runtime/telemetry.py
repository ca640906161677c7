"""Traces (OpenTelemetry): one follows a call through every service, over HTTP, NATS headers and `_meta` (W3C).

Each service has a tracer of its own, also where several share a process: whoever serves says so once, and what it
starts inherits it. Spans hold ids, counts and names of parts; never a text, a query, or the name of a user or app.
`runtime.tracing` exports them. Names of attributes are OpenTelemetry's semantic conventions.
"""

import os
import re
import socket
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar, Token
from dataclasses import dataclass
from importlib.metadata import version

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    NoOpTracer,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

_PROPAGATOR = TraceContextTextMapPropagator()
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")
_IDS = RandomIdGenerator()
_SCOPE = InstrumentationScope("memlog")
_UNSET, _FAILED = Status(StatusCode.UNSET), Status(StatusCode.ERROR)
Attributes = Mapping[str, AttributeValue]


@dataclass(frozen=True, slots=True)
class _Service:
    """Whose spans these are, and where they go (None: nowhere)."""

    tracer: Tracer
    resource: Resource
    spans: SpanProcessor | None


_NOBODY = _Service(NoOpTracer(), Resource.get_empty(), None)
_SERVICE = ContextVar("memlog_service", default=_NOBODY)
_TO: ContextVar[SpanProcessor | None] = ContextVar("memlog_spans_to", default=None)


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
    processor, about = _TO.get(), resource(service)
    provider = TracerProvider(
        # The environment chooses the sampler (OTEL_TRACES_SAMPLER); what goes nowhere need not be recorded.
        sampler=None if processor is not None else ALWAYS_OFF,
        resource=about,
        shutdown_on_exit=False,  # `runtime.tracing` ends what it began, and does not wait for ever
    )
    if processor is not None:
        provider.add_span_processor(processor)
    _SERVICE.set(_Service(provider.get_tracer(_SCOPE.name), about, processor))


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
    return _SERVICE.get().tracer.start_span(name, parent, kind, attributes, links)


def span(
    name: str,
    headers: Mapping[str, str] | None = None,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Attributes | None = None,
    links: Sequence[Link] = (),
) -> "being":
    """A span with which work of this service begins: in the trace that `headers` carry (None: in the current one), or
    in a new one. It is the current one for the length of a block."""
    parent = context.get_current() if headers is None else extract(headers)
    return being(begin(name, parent, kind=kind, attributes=attributes, links=links))


# The two below are no generators: of these blocks a call has a dozen, and a generator makes each a quarter dearer.


class step:
    """A span within the current one, for the length of a block; where that is not recorded, nothing, at no cost. Only
    one of kind `PRODUCER` becomes the current one, so that what is sent carries it: nothing else begins within a step.

    What it records is put together when it ends, and given to where the spans go: most spans are steps, and to make
    one of the SDK's, that anybody might change meanwhile, costs five times as much (`bench/tracing.py`).
    """

    __slots__ = ("_attributes", "_context", "_kind", "_name", "_parent", "_start", "_token")

    def __init__(self, name: str, attributes: Attributes | None = None, kind: SpanKind = SpanKind.CLIENT) -> None:
        self._name = name
        self._attributes = attributes or {}
        self._kind = kind
        self._parent: SpanContext | None = None
        self._token: Token[Context] | None = None

    def __enter__(self) -> "step":
        current = trace.get_current_span()
        if current.is_recording():
            self._parent = parent = current.get_span_context()
            id_ = _IDS.generate_span_id()
            self._context = SpanContext(parent.trace_id, id_, False, parent.trace_flags, parent.trace_state)
            if self._kind is SpanKind.PRODUCER:
                self._token = context.attach(trace.set_span_in_context(NonRecordingSpan(self._context)))
            self._start = time.time_ns()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._parent is None:
            return
        end = time.time_ns()
        if self._token is not None:
            context.detach(self._token)
        status = _UNSET
        if kind is not None and issubclass(kind, Exception):
            self.add({"error.type": kind.__name__})
            status = _FAILED
        of = _SERVICE.get()
        if of.spans is not None:
            span = ReadableSpan(
                self._name,
                self._context,
                self._parent,
                of.resource,
                self._attributes,
                kind=self._kind,
                status=status,
                start_time=self._start,
                end_time=end,
                instrumentation_scope=_SCOPE,
            )
            of.spans.on_end(span)

    def add(self, attributes: Attributes) -> None:
        """Say more of it, while it lasts."""
        self._attributes = {**self._attributes, **attributes}


class being:
    """Within the block the span is the current one; at the end of it, it ends."""

    __slots__ = ("_begun", "_token")

    def __init__(self, begun: Span) -> None:
        self._begun = begun

    def __enter__(self) -> Span:
        self._token = context.attach(trace.set_span_in_context(self._begun))
        return self._begun

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, Exception):
            failed(self._begun, kind.__name__)
        context.detach(self._token)
        self._begun.end()


def failed(of: Span, kind: str) -> None:
    """Mark a span as failed, by the kind of error alone: messages may repeat what somebody said."""
    of.set_attribute("error.type", kind)
    of.set_status(_FAILED)
