"""Metrics: listed where a person looks, exported over OTLP where an endpoint is named, and of no cost to others."""

import asyncio
import re
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import uvicorn
from contracts.errors import ConfigurationError, Unavailable
from opentelemetry.metrics import CallbackOptions
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from runtime import metrics
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from support.stack import eventually, free_port

ROOT = Path(__file__).parents[3]
_COUNT = """
from runtime.metrics import EVENTS, measuring
with measuring("audit"):
    EVENTS.add(3, {"type": "MemoryAdded"})
"""


def test_every_metric_is_in_the_list_of_the_documentation() -> None:
    source = (ROOT / "libs" / "runtime" / "src" / "runtime" / "metrics.py").read_text()
    made = {
        name.replace(".", "_") for name in re.findall(r'"((?:http|mcp|messaging|gen_ai|db|memlog)\.[a-z_.]+)"', source)
    }
    listed = re.findall(r"^\| (`.+?`) \|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)
    told = {re.sub(r"_(total|seconds|bytes)$", "", name) for cell in listed for name in re.findall(r"`(\w+)`", cell)}
    assert len(made) > 25
    assert made == told


def test_a_gauge_tells_what_is_known_and_nothing_afterwards() -> None:
    def told() -> list[float]:
        return [each.value for each in metrics.READY._observe(CallbackOptions())]  # pyright: ignore[reportPrivateUsage]

    with metrics.READY.known(lambda: [(1.0, {"part": "one"})]), metrics.READY.known(lambda: [(0.0, {"part": "two"})]):
        assert told() == [1.0, 0.0]
    assert told() == []


def test_an_error_is_counted_by_its_kind_and_never_by_its_words() -> None:
    assert metrics.kind_of(Unavailable("the words of somebody")) == "unavailable"
    assert metrics.kind_of(ValueError("the words of somebody")) == "ValueError"


@pytest.fixture
async def endpoint() -> AsyncGenerator[tuple[str, list[ExportMetricsServiceRequest]]]:
    received: list[ExportMetricsServiceRequest] = []

    async def take(request: Request) -> Response:
        received.append(ExportMetricsServiceRequest.FromString(await request.body()))
        return Response(b"")

    port = free_port()
    app = Starlette(routes=[Route("/v1/metrics", take, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve())

    async def started() -> bool:
        return server.started

    await eventually(started, timeout=30)
    yield f"http://127.0.0.1:{port}", received
    server.should_exit = True
    await serving


async def run(**environment: str) -> int:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _COUNT, env=environment)
    async with asyncio.timeout(60):
        return await process.wait()


async def test_metrics_are_sent_to_the_endpoint_that_the_environment_names(
    endpoint: tuple[str, list[ExportMetricsServiceRequest]],
) -> None:
    url, received = endpoint
    assert await run(OTEL_EXPORTER_OTLP_ENDPOINT=url) == 0
    resource = received[-1].resource_metrics[0]
    assert {each.key: each.value.string_value for each in resource.resource.attributes}[
        "service.name"
    ] == "memlog-audit"
    (metric,) = [
        each for scope in resource.scope_metrics for each in scope.metrics if each.name == "memlog.events.appended"
    ]
    assert metric.sum.data_points[0].as_int == 3


async def test_metrics_are_not_sent_where_prometheus_asks_for_them(
    endpoint: tuple[str, list[ExportMetricsServiceRequest]],
) -> None:
    url, received = endpoint
    assert await run(OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_METRICS_EXPORTER="none") == 0
    assert received == []


def test_an_exporter_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "console")
    with pytest.raises(ConfigurationError, match="OTEL_METRICS_EXPORTER"), metrics.measuring("test"):
        pass


async def test_an_endpoint_that_is_away_does_not_keep_a_service_from_ending() -> None:
    assert await run(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}") == 0
