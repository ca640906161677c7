"""An SSE stream as it is on the wire, without the SDK's client."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(slots=True)
class SseStream:
    """`endpoint` is the path that the stream says to post to."""

    http: httpx.AsyncClient
    response: httpx.Response
    _lines: AsyncIterator[str]
    endpoint: str = ""

    @property
    def session_id(self) -> str:
        return self.endpoint.partition("session_id=")[2]

    async def line(self) -> str | None:
        """The next line; None at the end of the stream. Fails after 60 s."""
        async with asyncio.timeout(60):
            return await anext(self._lines, None)

    async def event(self) -> tuple[str, str] | None:
        """The next event as (kind, data), comments left out; None at the end of the stream."""
        kind = data = ""
        while (line := await self.line()) is not None:
            field, _, value = line.partition(": ")
            if field == "event":
                kind = value
            elif field == "data":
                data = value
            elif not line and kind:
                return kind, data
        return None

    async def message(self) -> dict[str, Any]:
        """The next message of the server."""
        event = await self.event()
        assert event is not None and event[0] == "message", event
        return json.loads(event[1])

    async def post(self, message: object, path: str | None = None, **headers: str) -> httpx.Response:
        return await self.http.post(path or self.endpoint, json=message, headers=headers)

    async def initialize(self, request_id: int = 0) -> dict[str, Any]:
        """Begin a session of revision 2025-11-25; the result."""
        await self.post(
            {
                "jsonrpc": "2.0", "id": request_id, "method": "initialize",
                "params": {
                    "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"},
                },
            }
        )  # fmt: skip
        answer = await self.message()
        await self.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return answer["result"]


def tool_call(request_id: int, tool: str, **arguments: Any) -> dict[str, Any]:
    """The JSON-RPC message of a tool call."""
    params = {"name": tool, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": params}


@asynccontextmanager
async def open_stream(url: str, path: str) -> AsyncGenerator[SseStream]:
    """Open a stream and read where it says to post; it is closed at the end."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as http, open_stream_with(http, path) as stream:
        yield stream


@asynccontextmanager
async def open_stream_with(http: httpx.AsyncClient, path: str) -> AsyncGenerator[SseStream]:
    """The same, with a client of one's own."""
    async with http.stream("GET", path) as response:
        assert response.status_code == 200, await response.aread()
        stream = SseStream(http, response, response.aiter_lines())
        first = await stream.event()
        assert first is not None and first[0] == "endpoint", first
        stream.endpoint = first[1]
        yield stream
