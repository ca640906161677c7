"""A minimal HTTP/1.1 client. A general one costs more CPU a request than the server's own HTTP layer does, and the
load generator shares the machine's cores with what it measures."""

import asyncio
import json
import random
from dataclasses import dataclass
from typing import Any, cast


class RequestFailed(Exception):
    """An answer that is none of success: the run is worth nothing."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body of a successful answer. Raises `RequestFailed` for any other."""
        if not 200 <= self.status < 300:
            raise RequestFailed(f"{self.status}: {self.body[:300].decode(errors='replace')}")
        return json.loads(self.body)


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time, opened anew when the server has closed it while it was idle.
    Understands answers with a Content-Length only. Where `sampled` is said, each request belongs to a trace of its own
    that is to be recorded, or is not."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._authority = f"{host}:{port}"
        self._received = bytearray()
        self._answer: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None
        self.sampled: bool | None = None

    @classmethod
    async def open(cls, host: str, port: int) -> "Connection":
        connection = cls(host, port)
        await connection._connect()
        return connection

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    async def get(self, target: str) -> Answer:
        return await self._send(f"GET {target} HTTP/1.1\r\nhost: {self._authority}\r\n{self._trace()}\r\n".encode())

    async def post(self, target: str, value: dict[str, Any], headers: str = "") -> Answer:
        """POST `value` as JSON. `headers` are further header lines, each with its line end."""
        body = json.dumps(value).encode()
        head = (
            f"POST {target} HTTP/1.1\r\nhost: {self._authority}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n{headers}{self._trace()}\r\n"
        )
        return await self._send(head.encode() + body)

    def _trace(self) -> str:
        if self.sampled is None:
            return ""
        trace, span = random.getrandbits(128) | 1, random.getrandbits(64) | 1
        return f"traceparent: 00-{trace:032x}-{span:016x}-{self.sampled:02x}\r\n"

    async def _connect(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: self, self._host, self._port)

    async def _send(self, request: bytes) -> Answer:
        if self._transport is None:
            await self._connect()
        assert self._transport is not None and self._answer is None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._answer
        finally:
            self._answer = None

    # -- asyncio.Protocol ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._received[:end]).lower()
        at = head.find(b"\r\ncontent-length:")
        if at < 0:
            self._fail("an answer without Content-Length")
            return
        length = int(head[at + 17 :].split(b"\r\n", 1)[0])
        if len(self._received) < end + 4 + length:
            return
        body = bytes(self._received[end + 4 : end + 4 + length])
        del self._received[: end + 4 + length]
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Answer(int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._received.clear()
        self._fail(str(exc or "the connection was closed"))

    def _fail(self, reason: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(RequestFailed(reason))
