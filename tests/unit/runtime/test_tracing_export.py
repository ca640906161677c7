"""Where spans go: what the environment says, and an endpoint that hangs, is away, or comes back."""

import threading
import time
from collections.abc import Generator

import pytest
import structlog
from contracts.errors import ConfigurationError
from opentelemetry.sdk.trace.export import SpanExportResult
from runtime.telemetry import span, trace_headers
from runtime.tracing import Exporter, tracing
from support.spans import Collector, collector


@pytest.fixture
def got() -> Generator[Collector]:
    with collector() as collecting:
        yield collecting


def test_spans_are_sent_under_the_services_name_at_the_latest_at_the_end(
    got: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", got.endpoint)
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=tests")
    with tracing("gateway"), span("work", {}):
        pass
    (sent,) = got.spans
    assert sent.what == ("gateway", "work")
    assert sent.service == "memlog-gateway"
    assert "deployment.environment.name" in sent.raw


@pytest.mark.parametrize(
    "variables",
    [{}, {"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_SAMPLER": "always_off"}],
    ids=["no endpoint", "none", "disabled", "sampled out"],
)
def test_nothing_is_sent_where_the_environment_does_not_say_so(
    got: Collector, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if variables:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", got.endpoint)
    with tracing("gateway"), span("work", {}):
        pass
    assert got.requests == 0


def test_a_client_that_samples_its_trace_out_is_followed(got: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{got.endpoint}/v1/traces")
    out = {"traceparent": f"00-{0xA1:032x}-00f067aa0ba902b7-00"}
    with tracing("gateway"):
        with span("work", out):
            assert trace_headers()["traceparent"].endswith("-00")
        with span("work", {"traceparent": f"{out['traceparent'][:-2]}01"}):
            pass
    assert len(got.spans) == 1


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_TRACES_EXPORTER"])
def test_what_cannot_be_followed_is_refused_in_words(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
    monkeypatch.setenv(name, "grpc")
    with pytest.raises(ConfigurationError, match="over HTTP"), tracing("gateway"):
        pass


def test_nobody_waits_for_an_endpoint_that_hangs(got: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", got.endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "600")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "64")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "16")
    got.hanging.set()
    began = time.monotonic()
    with tracing("gateway"):
        for _ in range(1000):  # far more than the queue holds
            with span("work", {}):
                pass
    assert time.monotonic() - began < 60
    assert got.requests <= 1
    got.released.set()
    for thread in threading.enumerate():
        if thread.daemon and thread.name in ("OtelBatchSpanRecordProcessor", "spans"):
            thread.join(60)


def test_that_spans_are_not_taken_and_are_taken_again_is_said_once(
    got: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", got.endpoint)
    exporter = Exporter()
    with structlog.testing.capture_logs() as said:
        for got.status in (200, 400, 400, 200, 200):
            taken = exporter.export([])
            assert (taken is SpanExportResult.SUCCESS) == (got.status == 200)
    assert [line["event"] for line in said] == ["traces_are_not_taken", "traces_are_taken_again"]
    exporter.shutdown()
    exporter.shutdown()
    assert exporter.export([]) is SpanExportResult.FAILURE
