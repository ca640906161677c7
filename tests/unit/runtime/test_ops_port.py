"""The port for probes and Prometheus: what it says of a service, and of an event loop that is stuck."""

import asyncio
import socket
import threading
import time
from dataclasses import dataclass

import httpx
import pytest
from contracts.api import ServiceHealth
from contracts.errors import ConfigurationError
from prometheus_client.parser import text_string_to_metric_families
from runtime.ops_port import ops_port
from runtime.probes import Probe
from runtime.settings import Settings
from support.stack import eventually, free_port


@dataclass
class _Connection:
    is_connected: bool = True


def _probe(name: str = "indexer", connection: _Connection | None = None) -> Probe:
    return Probe(name, connection or _Connection(), asyncio.Event(), asyncio.Event())


def _settings() -> Settings:
    return Settings(ops_port=free_port())


async def _ask(settings: Settings, path: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=f"http://{settings.ops_host}:{settings.ops_port}", timeout=30) as http:
        return await http.get(path)


async def _trouble(settings: Settings) -> dict[str, str]:
    answer = await _ask(settings, "/readyz")
    assert answer.status_code == 503, answer.text
    return answer.json()["troubles"]


async def test_a_service_is_ready_once_it_says_so_and_until_it_stops():
    settings, probe = _settings(), _probe()
    async with ops_port(settings, "indexer") as probes:
        assert await _trouble(settings) == {"indexer": "starting"}
        probes.add(probe)
        assert await _trouble(settings) == {"indexer": "starting"}
        probe.ready.set()
        assert (await _ask(settings, "/readyz")).json() == {"status": "ready"}
        probe.stop.set()
        assert await _trouble(settings) == {"indexer": "stopping"}
        assert (await _ask(settings, "/livez")).status_code == 200


async def test_a_service_without_its_connection_or_not_well_is_not_ready_and_gives_no_detail_away():
    settings, connection = _settings(), _Connection()
    probe = _probe(connection=connection)
    probe.ready.set()
    async with ops_port(settings, "indexer") as probes:
        probes.add(probe)
        connection.is_connected = False
        assert await _trouble(settings) == {"indexer": "no connection to NATS"}
        connection.is_connected = True
        probe.describe = lambda: ServiceHealth(service="indexer", ok=False, detail="what happened")
        assert await _trouble(settings) == {"indexer": "not well"}


async def test_one_of_several_services_of_a_process_is_enough_to_be_not_ready():
    settings, gateway, audit = _settings(), _probe("gateway"), _probe("audit")
    async with ops_port(settings, "gateway", "audit") as probes:
        probes.add(gateway)
        gateway.ready.set()
        assert await _trouble(settings) == {"audit": "starting"}
        probes.add(audit)
        audit.ready.set()
        assert (await _ask(settings, "/readyz")).status_code == 200


async def test_metrics_are_text_that_prometheus_reads():
    settings = _settings()
    async with ops_port(settings):
        answer = await _ask(settings, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "process_start_time_seconds" in {each.name for each in text_string_to_metric_families(answer.text)}


async def test_nothing_else_is_served():
    settings = _settings()
    async with ops_port(settings):
        assert [(await _ask(settings, path)).status_code for path in ("/", "/api/v1/health", "/docs")] == [404] * 3


async def test_a_stuck_event_loop_is_noticed():
    settings = _settings()
    said = threading.Event()
    statuses: list[int] = []

    def ask_until_stuck() -> None:
        until = time.monotonic() + 30
        while time.monotonic() < until and 503 not in statuses:
            answer = httpx.get(f"http://{settings.ops_host}:{settings.ops_port}/livez", timeout=30)
            statuses.append(answer.status_code)
        said.set()

    async with ops_port(settings, "indexer") as probes:
        assert (await _ask(settings, "/livez")).status_code == 200
        probes.stuck_after = 1.5
        asking = asyncio.get_running_loop().run_in_executor(None, ask_until_stuck)
        said.wait(60)  # the loop does not turn meanwhile
        await asking
        assert statuses[-1] == 503

        async def alive() -> bool:
            return (await _ask(settings, "/livez")).status_code == 200

        await eventually(alive, timeout=30)


async def test_a_busy_event_loop_makes_the_process_not_ready_instead_of_silent():
    settings, probe = _settings(), _probe()
    probe.ready.set()
    said = threading.Event()

    def ask() -> httpx.Response:
        try:
            return httpx.get(f"http://{settings.ops_host}:{settings.ops_port}/readyz", timeout=30)
        finally:
            said.set()

    async with ops_port(settings, "indexer") as probes:
        probes.add(probe)
        asking = asyncio.get_running_loop().run_in_executor(None, ask)
        said.wait(60)
        assert (await asking).json()["troubles"] == {"event loop": "busy"}
        assert (await _ask(settings, "/readyz")).status_code == 200


async def test_a_port_that_is_taken_is_said_with_its_setting():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(ops_port=taken.getsockname()[1])
        with pytest.raises(ConfigurationError, match="MEMLOG_OPS_PORT"):
            async with ops_port(settings):
                pass


async def test_without_the_setting_nothing_listens_and_the_port_is_free_after_a_stop():
    async with ops_port(Settings()):
        pass
    settings = _settings()
    for _ in range(2):
        async with ops_port(settings):
            assert (await _ask(settings, "/livez")).status_code == 200
    with pytest.raises(httpx.ConnectError):
        await _ask(settings, "/livez")
