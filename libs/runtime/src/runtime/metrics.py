"""Metrics (OpenTelemetry): what is counted and timed, for Prometheus (`/metrics`) and, where its variables name an
endpoint, over OTLP.

All there are stand here. Names and attributes are OpenTelemetry's conventions where they have one, else `memlog.*`.
Attributes are names of parts, types and outcomes, of which there are few; never a text, a user, an app or an id.
docs/metrics.md lists them as Prometheus shows them; `tests/unit/runtime/test_metrics.py` compares.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import cast

from contracts.errors import ConfigurationError, MemlogError
from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from runtime.telemetry import resource

Attributes = Mapping[str, str | int]
Value = tuple[float, Attributes]
_FLUSH_S = 1.0
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_REQUESTS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_DISK_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_MODELS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0)
_TOKENS = (1, 16, 64, 256, 1024, 4096, 16384, 65536, 262144)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

_meter = metrics.get_meter("memlog")


class Gauge:
    """A value that is looked up when somebody asks. Several may know it, each for attributes of its own."""

    def __init__(self, name: str, unit: str, description: str) -> None:
        self._readers: list[Callable[[], Iterable[Value]]] = []
        _meter.create_observable_gauge(name, [self._observe], unit, description)

    @contextmanager
    def known(self, read: Callable[[], Iterable[Value]]) -> Generator[None]:
        """`read` tells the values for the length of the block. It is called from other threads, so it only looks."""
        self._readers.append(read)
        try:
            yield
        finally:
            self._readers.remove(read)

    def _observe(self, _: CallbackOptions) -> list[Observation]:
        return [Observation(value, attributes) for read in [*self._readers] for value, attributes in read()]


REQUESTS = _meter.create_histogram(
    "http.server.request.duration",
    "s",
    "How long requests took, by route. Streams that last as long as a client listens are not among them.",
    explicit_bucket_boundaries_advisory=_REQUESTS_S,
)
OPEN_REQUESTS = _meter.create_up_down_counter(
    "http.server.active_requests", "{request}", "Requests under way, streams among them."
)
TOOLS = _meter.create_histogram(
    "mcp.server.operation.duration",
    "s",
    "How long calls of MCP tools took.",
    explicit_bucket_boundaries_advisory=_REQUESTS_S,
)
COMMANDS = _meter.create_counter("memlog.commands", "{command}", "Commands that were carried out, by type and outcome.")
EVENTS = _meter.create_counter("memlog.events.appended", "{event}", "Events that were appended to the log, by type.")
READS = _meter.create_counter("memlog.access.recorded", "{read}", "Reads that were recorded, and so answered, by kind.")
PUBLISHED = _meter.create_histogram(
    "messaging.client.operation.duration",
    "s",
    "From publishing a message until JetStream acknowledged it: until the stream's file is synced to disk (fsync), on "
    "as many servers as the stream has replicas.",
    explicit_bucket_boundaries_advisory=_DISK_S,
)
PROCESSED = _meter.create_histogram(
    "messaging.process.duration",
    "s",
    "How long a consumer or projection worked on a batch of messages.",
    explicit_bucket_boundaries_advisory=_REQUESTS_S,
)
CONSUMED = _meter.create_counter(
    "messaging.client.consumed.messages", "{message}", "Messages that a consumer or projection has dealt with."
)
ASKED = _meter.create_histogram(
    "gen_ai.client.operation.duration",
    "s",
    "How long language models (chat) and embedders (embeddings, a batch each) took.",
    explicit_bucket_boundaries_advisory=_MODELS_S,
)
TOKENS = _meter.create_histogram(
    "gen_ai.client.token.usage",
    "{token}",
    "Tokens that language models read (input) and wrote (output), by question.",
    explicit_bucket_boundaries_advisory=_TOKENS,
)
EMBEDDED = _meter.create_histogram(
    "memlog.embedding.batch.size",
    "{text}",
    "Texts in a batch that an embedder was given.",
    explicit_bucket_boundaries_advisory=_BATCHES,
)
VECTORS = _meter.create_counter(
    "memlog.embedding.vectors", "{vector}", "Vectors of texts: from the cache, or made by the embedder (model)."
)
QUERIES = _meter.create_histogram(
    "db.client.operation.duration",
    "s",
    "How long PostgreSQL and the vector index took.",
    explicit_bucket_boundaries_advisory=_DISK_S,
)

LEASE_HELD = Gauge("memlog.lease.held", "1", "1 where this process owns what the lease names, 0 where it stands by.")
POSITION = Gauge("memlog.consumer.position", "1", "Sequence in its stream that the consumer or projection has reached.")
LAG = Gauge("memlog.consumer.lag", "{message}", "Messages that wait for the consumer or projection.")
AGE = Gauge("memlog.consumer.age", "s", "For how long the oldest message that waits has been recorded; 0: none waits.")
FAILING = Gauge("memlog.consumer.failing", "1", "1 while the consumer or projection does not get on.")
QUARANTINED = Gauge(
    "memlog.consumer.quarantined", "{aggregate}", "Aggregates that the projection has put aside, for a person to look."
)
DEAD_LETTERS = Gauge("memlog.dead_letters", "{message}", "Messages in MEMLOG_DEAD that the consumer gave up on.")
REBUILD_DONE = Gauge(
    "memlog.rebuild.events", "{event}", "Events that are in the generation that is being filled; 0: none is."
)
REBUILD_NEEDS = Gauge(
    "memlog.rebuild.events.needed", "{event}", "Events that the generation that is being filled needs."
)
CHECKS = Gauge(
    "memlog.verification.check", "1", "Of the last verification: 1 where the check found no difference, 0 where it did."
)
VERIFIED = Gauge("memlog.verification.finished", "s", "When the last verification ended (seconds since 1970).")
MODEL_FAILING = Gauge("memlog.llm.failing", "1", "1 while the language model that is wanted is away, or refuses.")
EMBEDDER_FAILING = Gauge("memlog.embedder.failing", "1", "1 while the index's embedder does not work.")
STORAGE = Gauge("memlog.nats.storage", "By", "What JetStream's files take on the server that is asked.")
STORAGE_LIMIT = Gauge("memlog.nats.storage.limit", "By", "What they may take: beyond it nothing is stored any more.")
READY = Gauge("memlog.service.ready", "1", "1 while the service can do its work.")


class took:
    """Record how long a block takes; an error that leaves it by its kind (`error.type`), and not by its words."""

    __slots__ = ("_attributes", "_began", "_histogram")

    def __init__(self, histogram: metrics.Histogram, attributes: Attributes) -> None:
        self._histogram = histogram
        self._attributes = attributes

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *_: object) -> None:
        duration = time.perf_counter() - self._began
        more = {} if error is None else {"error.type": kind_of(error)}
        self._histogram.record(duration, {**self._attributes, **more})


def kind_of(error: BaseException) -> str:
    """An error's stable code, else its class."""
    return error.code if isinstance(error, MemlogError) else type(error).__name__


def exposition(accept: str | None) -> tuple[bytes, str]:
    """All metrics of this process in the text format that the caller prefers, and its content type."""
    encode, content_type = choose_encoder(accept or "")
    return encode(REGISTRY), content_type


@contextmanager
def measuring(service: str) -> Generator[None]:
    """Metrics of this process count from here on, and are those of this service. Where the environment names an OTLP
    endpoint, they are sent there, and once more at the end. A process does this once. Raises `ConfigurationError` for
    variables that cannot be followed."""
    readers: list[MetricReader] = [PrometheusMetricReader(disable_target_info=True, scope_info_enabled=False)]
    sending = _otlp_reader()
    if sending is not None:
        readers.append(sending)
    provider = MeterProvider(
        readers,
        resource=resource(service),
        exemplar_filter=AlwaysOffExemplarFilter(),
        shutdown_on_exit=False,
    )
    metrics.set_meter_provider(provider)
    try:
        yield
    finally:
        if sending is not None:
            shutdown = cast("Callable[[], None]", sending.shutdown)  # pyright: ignore[reportUnknownMemberType]
            last = threading.Thread(target=shutdown, name="metrics", daemon=True)
            last.start()
            last.join(_FLUSH_S)


def _otlp_reader() -> PeriodicExportingMetricReader | None:
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    exporter = os.environ.get("OTEL_METRICS_EXPORTER", "").strip() or "otlp"
    if exporter == "none" or not any(os.environ.get(name, "").strip() for name in _ENDPOINTS):
        return None
    if exporter != "otlp":
        raise ConfigurationError("OTEL_METRICS_EXPORTER is otlp or none here; /metrics is for Prometheus in any case")
    # Not at the top: it costs 20 ms and 8 MB, which nobody need pay who exports nothing.
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    for name in ("opentelemetry.exporter", "opentelemetry.sdk._shared_internal"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # some lines at each interval, for as long as it is away
    try:
        return PeriodicExportingMetricReader(OTLPMetricExporter())
    except ValueError as error:
        raise ConfigurationError(f"OpenTelemetry's variables (OTEL_*) are wrong: {error}") from None
