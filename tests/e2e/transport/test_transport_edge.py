"""Host, Origin and size, against a real server and on every route: REST, MCP, health, documentation, and none."""

import asyncio
import json
from collections.abc import AsyncGenerator

import httpx
import pytest
from support.running_gateway import RunningGateway, serve_gateway

PATHS = ["/api/v1/memories", "/mcp", "/mcp/cursor/http/ada", "/livez", "/readyz", "/docs", "/openapi.json", "/nowhere"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "localhost.evil.example", "127.0.0.1.nip.io", ""]
)
async def test_a_foreign_host_is_refused(
    http: httpx.AsyncClient, gateway: RunningGateway, path: str, host: str
) -> None:
    answer = await http.post(path, json={"text": "a"}, headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (403, "foreign_request")
    assert gateway.service.calls == []


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("origin", ["http://evil.example", "https://evil.example", "null", "http://localhost:1", "x"])
async def test_a_foreign_origin_is_refused(
    http: httpx.AsyncClient, gateway: RunningGateway, path: str, origin: str
) -> None:
    answer = await http.post(path, json={"text": "a"}, headers={"Origin": origin})
    assert (answer.status_code, answer.json()["code"]) == (403, "foreign_request")
    assert gateway.service.calls == []


async def test_the_same_origin_under_any_name_of_this_machine_passes(
    http: httpx.AsyncClient, gateway: RunningGateway
) -> None:
    port = gateway.authority.partition(":")[2]
    for origin in (gateway.url, f"http://localhost:{port}", f"http://[::1]:{port}"):
        answer = await http.post("/api/v1/memories", json={"text": "a"}, headers={"Origin": origin})
        assert answer.status_code == 200, origin


@pytest.mark.parametrize("path", PATHS)
async def test_a_body_over_the_limit_is_refused_whether_its_length_is_declared_or_not(
    http: httpx.AsyncClient, gateway: RunningGateway, path: str
) -> None:
    async def chunks() -> AsyncGenerator[bytes]:
        for _ in range(20):
            yield b"x" * (128 * 1024)

    declared = await http.post(path, content=b"x" * (20 * 1024 * 1024))
    streamed = await http.post(path, content=chunks())
    for answer in (declared, streamed):
        assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    assert gateway.service.calls == []


async def test_a_body_of_undeclared_length_within_the_limit_is_served(http: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncGenerator[bytes]:
        for piece in (b'{"text":', b' "Likes', b' tea"}'):
            yield piece

    answer = await http.post("/api/v1/memories", content=chunks(), headers={"content-type": "application/json"})
    assert answer.json()["content"] == "Likes tea"


async def test_a_websocket_is_refused(gateway: RunningGateway) -> None:
    host, _, port = gateway.authority.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"GET /mcp HTTP/1.1\r\nHost: {gateway.authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    async with asyncio.timeout(60):
        status = await reader.readline()
    writer.close()
    assert int(status.split()[1]) >= 400


async def test_a_stop_waits_no_longer_than_its_bound_for_a_call_that_does_not_end() -> None:
    async with serve_gateway() as gateway:  # at its end, it waits 60 s for the stop
        gateway.service.hold = asyncio.Event()
        arrived = asyncio.Event()
        gateway.service.on_call = arrived.set
        host, _, port = gateway.authority.partition(":")
        idle = await asyncio.open_connection(host, int(port))  # a client that only keeps its connection
        body = json.dumps({"text": "a"}).encode()
        stuck = await asyncio.open_connection(host, int(port))
        head = f"POST /api/v1/memories HTTP/1.1\r\nHost: {gateway.authority}\r\nContent-Type: application/json\r\n"
        stuck[1].write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        async with asyncio.timeout(60):
            await arrived.wait()
    for _, writer in (idle, stuck):
        writer.close()
