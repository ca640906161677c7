"""Streamable HTTP at `/mcp` and `/mcp/{client}/http/{user}`, for both revisions and without sessions on either."""

from contextlib import AbstractAsyncContextManager
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from gateway.errors import method_not_allowed
from gateway.mcp.identity import new_session_id, path_caller
from gateway.mcp.server import CLIENT_IN_SCOPE


class McpEndpoint:
    """The ASGI application behind the MCP routes. `run()` must be entered while it serves: a mounted application's
    own lifespan never runs."""

    def __init__(self, server: Server[dict[str, Any]], *, max_body_bytes: int) -> None:
        self._manager = StreamableHTTPSessionManager(
            server, json_response=True, stateless=True, max_request_body_size=max_body_bytes
        )

    def run(self) -> AbstractAsyncContextManager[None]:
        return self._manager.run()

    def routes(self) -> list[Route]:
        return [Route("/mcp", self), Route("/mcp/{client}/http/{user}", self)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path_params"]
        if path:
            path_caller(path)  # a name that is none is refused before anything is read
        if scope["method"] != "POST":
            # No server-initiated messages, so no stream to open (2025-11-25 allows 405), and no session to end.
            await method_not_allowed(scope["method"], "POST")(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and not path and (name := scope.get(CLIENT_IN_SCOPE)):
                session = (b"mcp-session-id", new_session_id(name).encode())
                message["headers"] = [*message.get("headers", ()), session]
            await send(message)

        await self._manager.handle_request(scope, receive, answer)
