"""Speaks just enough of Qdrant's REST API to show what the adapter sends. It keeps nothing."""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Sent:
    """One request; `path` without the query."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass(slots=True)
class RecordingServer:
    """Answers each request from `answers`, by method and path, else that the operation is completed."""

    url: str = ""
    status: int = 200
    answers: dict[tuple[str, str], Any] = field(default_factory=dict[tuple[str, str], Any])
    sent: list[Sent] = field(default_factory=list[Sent])

    def bodies(self, method: str, path: str) -> list[Any]:
        return [request.body for request in self.sent if (request.method, request.path) == (method, path)]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        method, target, _ = head[0].split(" ")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
        content = await reader.readexactly(int(headers.get("content-length", "0")))
        path = target.partition("?")[0]
        self.sent.append(Sent(method, path, headers, json.loads(content) if content else None))
        result = self.answers.get((method, path), {"operation_id": 1, "status": "completed"})
        version: dict[str, Any] = result if path == "/" else {}
        answer = json.dumps({"time": 0.0, "status": "ok", "result": result, **version}).encode()
        writer.write(
            f"HTTP/1.1 {self.status} -\r\ncontent-type: application/json\r\nconnection: close\r\n"
            f"content-length: {len(answer)}\r\n\r\n".encode()
            + answer
        )
        await writer.drain()
        writer.close()


@asynccontextmanager
async def recording_server(tls: ssl.SSLContext | None = None) -> AsyncGenerator[RecordingServer]:
    recording = RecordingServer()
    server = await asyncio.start_server(recording.serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    recording.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{port}"
    async with server:
        yield recording
