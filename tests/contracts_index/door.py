"""A way to a real server on which connections break, as when the server dies: at a chosen request, its answer is lost,
and for a moment nobody answers at all."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import httpx


class Door:
    """Passes on what comes to `url`. It breaks once, as soon as `patience` requests have been passed on."""

    def __init__(self, server: httpx.URL) -> None:
        self.patience: int | None = None
        self.url = ""
        self._server = server
        self._listening: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        port = httpx.URL(self.url).port or 0
        self._listening = await asyncio.start_server(self._visit, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{self._listening.sockets[0].getsockname()[1]}"

    def shut(self) -> None:
        if self._listening is not None:
            self._listening.close()
        for end in self._ends:
            end.transport.abort()

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(self._server.host, self._server.port or 6333)
        ends = {writer, there[1]}
        self._ends |= ends
        with suppress(ConnectionError):
            await asyncio.gather(self._pass(reader, there[1], counted=True), self._pass(there[0], writer))
        self._ends -= ends

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, counted: bool = False) -> None:
        while data := await source.read(1 << 20):
            sink.write(data)
            await sink.drain()
            if counted and self.patience is not None and b" HTTP/1.1\r\n" in data:
                self.patience -= 1
                if self.patience == 0:
                    self.patience = None
                    await asyncio.sleep(0.005)  # the server has it, and may have done it
                    self.shut()
        sink.close()


@asynccontextmanager
async def door_to(server: str) -> AsyncGenerator[Door]:
    door = Door(httpx.URL(server))
    await door.open()
    try:
        yield door
    finally:
        door.shut()
