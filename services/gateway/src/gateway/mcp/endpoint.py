"""Streamable HTTP at `/mcp` and `/mcp/{client}/http/{user}`, for both revisions and without sessions on either."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.streamable_http import check_accept_headers
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from gateway.auth.refusals import identity_in, require_scopes
from gateway.errors import method_not_allowed
from gateway.mcp.identity import admitted, new_session_id
from gateway.mcp.needs import needed
from gateway.mcp.server import CLIENT_IN_SCOPE

_ASKS_FOR_PROGRESS = b'"progressToken"'


class McpEndpoint:
    """The ASGI application behind the MCP routes. `run()` must be entered while it serves: a mounted application's
    own lifespan never runs.

    A call that asks for progress is answered with a stream, so that there is something to tell it on, every other
    with JSON, which costs less. With `sessions`, for conformance tests, all answers are streams, and the older revision
    has sessions, on which the server can ask the client back."""

    def __init__(self, server: Server[dict[str, Any]], *, max_body_bytes: int, sessions: bool = False) -> None:
        def manager(*, json_response: bool, stateless: bool = True) -> StreamableHTTPSessionManager:
            return StreamableHTTPSessionManager(
                server, json_response=json_response, stateless=stateless, max_request_body_size=max_body_bytes
            )

        self._answers = manager(json_response=True)
        self._streams = manager(json_response=False)
        self._sessions = manager(json_response=False, stateless=False) if sessions else None

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            for each in filter(None, (self._answers, self._streams, self._sessions)):
                await stack.enter_async_context(each.run())
            yield

    def routes(self) -> list[Route]:
        return [Route("/mcp", self), Route("/mcp/{client}/http/{user}", self)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path_params"]
        admitted(scope)  # names that are none, or not the token's, are refused before anything is read
        if self._sessions is not None:
            if scope["method"] == "POST":
                receive = _replayed(await _permitted(scope, receive), receive)
            await self._sessions.handle_request(scope, receive, send)
            return
        if scope["method"] != "POST":
            # No server-initiated messages, so no stream to open (2025-11-25 allows 405), and no session to end.
            await method_not_allowed(scope["method"], "POST")(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and not path and (name := scope.get(CLIENT_IN_SCOPE)):
                session = (b"mcp-session-id", new_session_id(name).encode())
                message["headers"] = [*message.get("headers", ()), session]
            await send(message)

        body = await _permitted(scope, receive)
        told = _ASKS_FOR_PROGRESS in body and all(check_accept_headers(Request(scope)))
        await (self._streams if told else self._answers).handle_request(scope, _replayed(body, receive), answer)


async def _permitted(scope: Scope, receive: Receive) -> bytes:
    """The body of a message that its token allows. Raises `InsufficientScope`."""
    body = await Request(scope, receive).body()
    identity = identity_in(scope)
    if identity is not None:
        require_scopes(identity, needed(body))
    return body


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that hands out a body that was read already, then what comes after it."""
    first: Message | None = {"type": "http.request", "body": body, "more_body": False}

    async def replay() -> Message:
        nonlocal first
        if first is None:
            return await receive()
        message, first = first, None
        return message

    return replay
