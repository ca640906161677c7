"""The gateway on a free loopback port, served by a real uvicorn in the test's own event loop."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from fastapi import FastAPI
from gateway.app import GatewayOptions, create_app
from gateway.listening import bind
from gateway.mcp.sse import SseEndpoint
from gateway.mcp.sse_session import SseOptions
from mcp import Client
from mcp.client.sse import sse_client
from mcp_types import Implementation
from support.fake_service import FakeService

WIRES = {"2026-07-28": "2026-07-28", "2025-11-25": "legacy"}
"""Spec revision → the SDK client's mode for it."""


@dataclass(frozen=True, slots=True)
class RunningGateway:
    url: str
    service: FakeService
    server: uvicorn.Server
    sse: SseEndpoint
    stopping: asyncio.Event
    app: FastAPI

    @property
    def authority(self) -> str:
        return self.url.removeprefix("http://")

    def stop(self) -> None:
        """Begin the stop, as the gateway does; the end of `serve_gateway` waits for it."""
        self.stopping.set()
        self.server.should_exit = True

    def mcp(self, revision: str, path: str = "/mcp", *, name: str = "test client") -> Client:
        """A client of the SDK on this revision's wire."""
        info = Implementation(name=name, version="1")
        return Client(f"{self.url}{path}", mode=WIRES[revision], client_info=info, read_timeout_seconds=60)

    def over_sse(self, revision: str, path: str, *, name: str = "test client") -> Client:
        """A client of the SDK that is connected by HTTP+SSE."""
        info = Implementation(name=name, version="1")
        transport = sse_client(f"{self.url}{path}")
        return Client(transport, mode=WIRES[revision], client_info=info, read_timeout_seconds=60)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@asynccontextmanager
async def serve_gateway(
    sse: SseOptions | None = None,
    *,
    port: int = 0,
    grace: int = 2,
    service: FakeService | None = None,
    **options: Any,
) -> AsyncGenerator[RunningGateway]:
    """Runs until the block ends; `grace` is how long, in seconds, a stop waits: as the gateway's own unless said.
    `options` are `GatewayOptions`."""
    service = service or FakeService()
    app = create_app(service, GatewayOptions(version="1.2.3", sse=sse or SseOptions(), **options))
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=grace, lifespan="on")
    server = _Server(config)
    listening = bind("127.0.0.1", port)
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        async with asyncio.timeout(60):
            await server.ready.wait()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        yield RunningGateway(url, service, server, app.state.sse, app.state.stopping, app)
    finally:
        app.state.stopping.set()
        server.should_exit = True
        async with asyncio.timeout(60):
            await running
