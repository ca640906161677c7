"""One open stream of server-sent events.

Not sse-starlette's response: it starts a watcher for the server's stop that nobody owns, and knows neither ours nor a
client that takes nothing.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import structlog
from contracts.api import LogEvent
from contracts.errors import MemlogError, Unavailable
from runtime.tasks import end
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.asking import Caller
from gateway.connections import Connections
from gateway.mcp.sse_session import HEADERS, KEEP_ALIVE, SseOptions

_RETRY_MS = 1000


@dataclass(slots=True)
class OpenStreams:
    """The streams that are open; they end when `stopping` is set. `connections` is told of them."""

    stopping: asyncio.Event
    options: SseOptions
    connections: Connections
    open: set["EventStreamResponse"] = field(default_factory=set["EventStreamResponse"])

    def require_room(self) -> None:
        """Raises `Unavailable` when no more can be opened."""
        if self.stopping.is_set():
            raise Unavailable("Memlog is stopping; connect again")
        if len(self.open) >= self.options.max_sessions:
            raise Unavailable(f"{len(self.open)} event streams are open, which is the limit; close some")


class EventStreamResponse(Response):
    """Sends what `events` yields (None: a sign of life) until the client goes, stalls, or Memlog stops. It takes the
    next one only when the client has taken the one before."""

    media_type = "text/event-stream"

    def __init__(
        self, caller: Caller, start: str, events: AsyncGenerator[LogEvent | None], streams: OpenStreams
    ) -> None:
        super().__init__()
        self._caller = caller
        self._start = start
        self._events = events
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        streams = self._streams
        streams.open.add(self)
        pumping = asyncio.ensure_future(self._pump(send))
        others = asyncio.ensure_future(_until_gone(receive)), asyncio.ensure_future(streams.stopping.wait())
        try:
            with streams.connections.stream(self._caller, "events"):
                await asyncio.wait((pumping, *others), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(pumping, *others)
            streams.open.discard(self)
        if pumping.cancelled() or pumping.result():
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pump(self, send: Send) -> bool:
        """Whether the client takes an end."""

        async def put(frame: bytes) -> None:
            async with asyncio.timeout(self._streams.options.stalled):
                await send({"type": "http.response.body", "body": frame, "more_body": True})

        log = structlog.get_logger("gateway.events")
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        try:
            async with contextlib.aclosing(self._events) as events:
                # The position, before any event: who connects again has where to go on from.
                await put(f"retry: {_RETRY_MS}\nid: {self._start}\nevent: position\ndata: {self._start}\n\n".encode())
                async for event in events:
                    await put(KEEP_ALIVE if event is None else _frame(event))
        except MemlogError as error:
            # The answer has begun: all that is left is to end it, and the client comes back from where it was.
            log.warning("event_stream_interrupted", reason=error.message)
        except TimeoutError:
            log.warning("event_stream_stalled", seconds=self._streams.options.stalled)
            return False  # its socket takes nothing, not even an end: the HTTP server closes it
        return True


def _frame(event: LogEvent) -> bytes:
    return f"id: {event.position}\ndata: {event.model_dump_json(exclude_none=True)}\n\n".encode()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
