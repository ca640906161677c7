"""One open SSE stream: the SDK serves it, and this carries its messages.

The SDK's own SSE transport is not used: its keep-alive can not be set, it starts a watcher that nobody owns and that
does not see our server stop, and it logs what it can not parse, which may be a memory.
"""

import asyncio
import contextlib
import uuid
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import anyio
import structlog
from contracts.errors import MemlogError, NotFound, Unavailable
from mcp.server.lowlevel import Server
from mcp.shared._context_streams import create_context_streams
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp_types import JSONRPCError, JSONRPCMessage, JSONRPCRequest, JSONRPCResponse
from starlette.requests import Request
from starlette.types import Message, Receive, Send

from gateway.errors import problem_for
from gateway.mcp.boundary import rpc_error

KEEP_ALIVE = b": keep-alive\r\n\r\n"
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back
]


@dataclass(frozen=True, slots=True)
class SseOptions:
    """Bounds of the SSE transport; times in seconds.

    `keep_alive`: a comment goes out this often, so that proxies keep an idle stream. `stalled`: a client that takes
    nothing for so long is cut off. `drain`: how long a stop waits for calls under way. `max_calls`: calls under way
    in one session."""

    keep_alive: float = 15.0
    stalled: float = 30.0
    drain: float = 1.0
    max_sessions: int = 512
    max_calls: int = 64


class TooManyCalls(MemlogError):
    """The session has as many calls under way as it may have."""

    code = "too_many_calls"
    status = 429
    remedy = "Wait for the answers that are outstanding, then call again."


def no_such_session() -> NotFound:
    """Ended, somebody else's and never opened look alike."""
    return NotFound("there is no such SSE session; open one with GET /mcp/{client}/sse/{user}")


class SseSession:
    """`opened` is the request that opened the stream. It is handed to the server with every message, so whoever
    posts one, it is served as the client and user that `opened` names.

    Also the SDK's write stream: a message that is sent becomes an event."""

    def __init__(self, opened: Request, options: SseOptions) -> None:
        self.id = uuid.uuid4().hex
        self.opened = opened
        self._options = options
        self._incoming, self._to_serve = create_context_streams[SessionMessage | Exception](0)
        self._calls = 0
        self._idle = asyncio.Event()
        self._draining = False
        self._ended = False
        self._stalled = False
        self._writing = anyio.Lock()
        self._send: Send | None = None

    # -- the stream ---------------------------------------------------------------------------------------------
    async def serve(
        self, server: Server[dict[str, Any]], endpoint: str, receive: Receive, send: Send, stopping: asyncio.Event
    ) -> None:
        """Serve until the client goes, stalls, or `stopping` is set. `endpoint` is where messages are to be posted."""
        self._send = send
        try:
            await self._put({"type": "http.response.start", "status": 200, "headers": HEADERS})
            await self._event("endpoint", endpoint)
            async with anyio.create_task_group() as group:
                group.start_soon(self._until_gone, receive)
                group.start_soon(self._until_stopped, stopping)
                group.start_soon(self._keep_alive)
                await server.run(self._to_serve, self, server.create_initialization_options())
                group.cancel_scope.cancel()
        except anyio.ClosedResourceError:
            pass  # stalled before there was anything to serve
        finally:
            self._end()
            self._to_serve.close()
        if self._stalled:
            structlog.get_logger("gateway.mcp").warning("sse_client_stalled", seconds=self._options.stalled)
            return  # its socket takes nothing, not even an end: the HTTP server closes it
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _end(self) -> None:
        """No more messages in either direction; what the client has called is cancelled."""
        self._ended = True
        self._incoming.close()

    async def _until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._end()

    async def _until_stopped(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        self._draining = True
        with anyio.move_on_after(self._options.drain):
            while self._calls:
                self._idle = asyncio.Event()
                await self._idle.wait()
        self._incoming.close()  # the SDK answers calls that are still under way with an error, then ends

    async def _keep_alive(self) -> None:
        while not self._ended:
            await anyio.sleep(self._options.keep_alive)
            try:
                await self._body(KEEP_ALIVE)
            except anyio.ClosedResourceError:
                return

    async def _event(self, kind: str, data: str) -> None:
        await self._body(f"event: {kind}\r\ndata: {data}\r\n\r\n".encode())

    async def _body(self, body: bytes) -> None:
        await self._put({"type": "http.response.body", "body": body, "more_body": True})

    async def _put(self, message: Message) -> None:
        """Raises anyio's `ClosedResourceError` once the stream has ended."""
        async with self._writing:
            if self._ended or self._send is None:
                raise anyio.ClosedResourceError
            try:
                with anyio.fail_after(self._options.stalled):
                    await self._send(message)
            except TimeoutError:
                self._stalled = True
                self._end()
                raise anyio.ClosedResourceError from None

    # -- messages -----------------------------------------------------------------------------------------------
    async def deliver(self, message: JSONRPCMessage) -> None:
        """Hand a message of the client to the server; the answer comes as an event.

        Raises `NotFound` when the stream has ended, `TooManyCalls`, and `Unavailable` when Memlog stops."""
        if self._draining:
            raise Unavailable("Memlog is stopping; connect again")
        metadata = ServerMessageMetadata(request_context=self.opened)
        if isinstance(message, JSONRPCRequest):
            if self._calls >= self._options.max_calls:
                raise TooManyCalls(f"{self._calls} calls are under way in this session; wait for their answers")
            metadata.on_request_unanswered = self._unanswered
            self._calls += 1
        try:
            await self._incoming.send(SessionMessage(message, metadata))
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            raise no_such_session() from None

    async def refuse(self, message: JSONRPCMessage, error: MemlogError) -> None:
        """Answer a request on the stream that is refused where it was posted: clients wait for their answers here, and
        some, the SDK's among them, look at nothing else."""
        if isinstance(message, JSONRPCRequest):
            refused = JSONRPCError(jsonrpc="2.0", id=message.id, error=rpc_error(problem_for(error)).error)
            with contextlib.suppress(anyio.ClosedResourceError):
                await self._event("message", refused.model_dump_json(by_alias=True, exclude_unset=True))

    async def _unanswered(self) -> None:
        self._settle()

    def _settle(self) -> None:
        self._calls -= 1
        if not self._calls:
            self._idle.set()

    async def send(self, item: SessionMessage, /) -> None:
        """A message of the server, as an event. Raises anyio's `ClosedResourceError` once the stream has ended."""
        try:
            await self._event("message", item.message.model_dump_json(by_alias=True, exclude_unset=True))
        finally:
            if isinstance(item.message, JSONRPCResponse | JSONRPCError):
                self._settle()

    async def aclose(self) -> None:
        self._end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.aclose()
