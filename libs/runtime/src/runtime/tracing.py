"""Where spans go: to an OTLP endpoint over HTTP, if OpenTelemetry's own variables name one, else nowhere.

Spans wait in a queue of this process, from which a thread sends them. An endpoint that hangs or is away costs spans,
and nothing else: the queue is bounded, and nobody waits for it.
"""

import logging
import os
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import structlog
from contracts.errors import ConfigurationError
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from runtime.telemetry import trace_as, trace_to

log = structlog.get_logger()
FLUSH_S = 0.5
"""How long a stop waits for what was not sent yet; less than any grace that a process is given."""
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


@contextmanager
def tracing(service: str) -> Generator[None]:
    """Spans within the block are of this service, and go where the environment says; those that wait are sent at the
    end, for `FLUSH_S` at most. Raises `ConfigurationError` for variables that cannot be followed."""
    if not _wanted():
        trace_to(None)
        trace_as(service)
        yield
        return
    try:
        exporter = Exporter()
        processor = BatchSpanProcessor(exporter)
    except ValueError as error:
        raise ConfigurationError(f"OpenTelemetry's variables (OTEL_*) are wrong: {error}") from None
    trace_to(processor)
    trace_as(service)
    try:
        yield
    finally:
        sending = threading.Thread(target=processor.shutdown, name="spans", daemon=True)
        sending.start()
        sending.join(FLUSH_S)
        exporter.shutdown()  # whoever still sends tries no more
        trace_to(None)


def _wanted() -> bool:
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
    if exporter == "none" or not any(os.environ.get(name, "").strip() for name in _ENDPOINTS):
        return False
    protocol = next((os.environ[name] for name in _PROTOCOLS if os.environ.get(name)), "http/protobuf")
    if exporter != "otlp" or protocol != "http/protobuf":
        raise ConfigurationError(
            "traces are sent as OTLP over HTTP only: set OTEL_TRACES_EXPORTER to otlp (or none) and "
            "OTEL_EXPORTER_OTLP_PROTOCOL to http/protobuf, or unset them"
        )
    return True


class Exporter(SpanExporter):
    """OTLP over HTTP. That it does not work, and that it works again, is said once."""

    def __init__(self) -> None:
        # Not at the top: it costs 20 ms and 8 MB, which nobody need pay who exports nothing.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        for name in ("opentelemetry.exporter", "opentelemetry.sdk._shared_internal"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # some lines for each batch, for as long as it is away
        self._exporter: SpanExporter | None = OTLPSpanExporter()
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """See `SpanExporter`."""
        exporter = self._exporter
        if exporter is None:
            return SpanExportResult.FAILURE
        result = exporter.export(spans)
        failing = result is not SpanExportResult.SUCCESS
        if failing and not self._failing:
            log.warning("traces_are_not_taken", remedy="see OTEL_EXPORTER_OTLP_ENDPOINT; spans are lost meanwhile")
        elif self._failing and not failing:
            log.info("traces_are_taken_again")
        self._failing = failing
        return result

    def shutdown(self) -> None:
        """See `SpanExporter`. May be called again."""
        exporter, self._exporter = self._exporter, None
        if exporter is not None:
            exporter.shutdown()
