"""Where spans go in tests: a server that speaks OTLP over HTTP, and what it got."""

import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2


@dataclass(frozen=True, slots=True)
class Received:
    """A span as it was exported. Ids are hex; `parent` is empty at a root; `raw` is all that was said of it."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    kind: str
    attributes: dict[str, Any]
    links: tuple[str, ...]
    failed: bool
    raw: str

    @property
    def what(self) -> tuple[str, str]:
        return self.service.removeprefix("memlog-"), self.name


@dataclass(slots=True)
class Collector:
    """`endpoint` is for OTEL_EXPORTER_OTLP_ENDPOINT. `metrics` came to the same
    endpoint, and are kept as they came. `status` is what requests are answered with; while `hanging` is set,
    they are not answered."""

    endpoint: str
    spans: list[Received] = field(default_factory=list[Received])
    metrics: list[bytes] = field(default_factory=list[bytes])
    requests: int = 0
    status: int = 200
    hanging: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def of(self, trace: str) -> list[Received]:
        """The spans of a trace so far."""
        return [span for span in self.spans if span.trace == trace]

    def take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            about = _values(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.spans += [_received(str(about["service.name"]), str(about), span) for span in scope.spans]


def orphans(spans: Iterable[Received], client: str) -> list[tuple[str, str]]:
    """Which spans of one trace have no parent among them, but for the one that the client itself began."""
    spans = list(spans)
    known = {span.id for span in spans} | {client}
    return [span.what for span in spans if span.parent not in known]


@contextmanager
def collector() -> Generator[Collector]:
    """A collector on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.requests += 1
            if got.hanging.is_set():
                got.released.wait()
                self.close_connection = True
                return
            if self.path == "/v1/traces":
                got.take(body)
            else:
                got.metrics.append(body)
            self.send_response(got.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    got = Collector(f"http://127.0.0.1:{server.server_port}")
    serving = threading.Thread(target=server.serve_forever, args=(0.05,))
    serving.start()
    try:
        yield got
    finally:
        got.released.set()
        server.shutdown()
        serving.join()
        server.server_close()


def _received(service: str, about: str, span: trace_pb2.Span) -> Received:
    return Received(
        service=service,
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        attributes=_values(span.attributes),
        links=tuple(link.trace_id.hex() for link in span.links),
        failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        raw=f"{about} {span}",
    )


def _values(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind) if kind is not None else None
