"""HTTP+SSE on OpenMemory's paths, for clients that know no Streamable HTTP.

The GET that opens a stream names client and user, and binds them: a message posted for the session is served as them
and can not be posted under other names. The session's id, which only its opener is told, is all that a message at
`/mcp/messages` says of where it belongs. With a token, it is the opener's alone.
"""

import asyncio
from typing import Any
from urllib.parse import quote

from contracts.errors import InvalidInput, Unavailable
from mcp.server.lowlevel import Server
from mcp_types import jsonrpc_message_adapter
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.auth.refusals import InsufficientScope, identity_in, require_scopes
from gateway.connections import Connections
from gateway.errors import make_problem, problem_response
from gateway.mcp.identity import admitted
from gateway.mcp.needs import needed
from gateway.mcp.server import CONNECTION_IN_SCOPE
from gateway.mcp.sse_session import SseOptions, SseSession, no_such_session
from gateway.service import Caller

_MESSAGES = "/mcp/messages"
_OPENING = ("/mcp/{client}/sse/{user}", "/mcp/sse/{client}/{user}")
_POSTING = (_MESSAGES, "/mcp/{client}/sse/{user}/messages")


class SseEndpoint:
    """The routes, and the sessions that are open. `stopping` set, streams finish their calls and end: an HTTP server
    that stops waits for streams and does not tell them."""

    def __init__(
        self,
        server: Server[dict[str, Any]],
        stopping: asyncio.Event,
        connections: Connections,
        options: SseOptions | None = None,
    ) -> None:
        self._server = server
        self._stopping = stopping
        self._connections = connections
        self._options = options or SseOptions()
        self._sessions: dict[str, SseSession] = {}

    @property
    def open_sessions(self) -> int:
        return len(self._sessions)

    def routes(self) -> list[Route]:
        """To be matched before Streamable HTTP's: `GET /mcp/sse/http/ada` is a client that is called "http"."""
        opening = [Route(path, self._open, methods=["GET"]) for path in _OPENING]
        for route in opening:
            assert route.methods is not None
            route.methods.discard("HEAD")  # Starlette adds it, and a stream would be opened for it
        return [*opening, *(Route(path, self._post, methods=["POST"]) for path in _POSTING)]

    async def _open(self, request: Request) -> ASGIApp:
        # Names that are none, or not the token's, are refused before anything is opened.
        caller = admitted(request.scope)
        assert caller is not None  # the path says
        if self._stopping.is_set():
            raise Unavailable("Memlog is stopping; connect again")
        if len(self._sessions) >= self._options.max_sessions:
            raise Unavailable(f"{len(self._sessions)} SSE sessions are open, which is the limit; close some")
        session = SseSession(request, self._options)
        root = quote(request.scope.get("root_path", "").rstrip("/"))

        async def stream(scope: Scope, receive: Receive, send: Send) -> None:
            self._sessions[session.id] = session
            try:
                endpoint = f"{root}{_MESSAGES}/?session_id={session.id}"
                with self._connections.stream(caller, "sse") as request.scope[CONNECTION_IN_SCOPE]:
                    await session.serve(self._server, endpoint, receive, send, self._stopping)
            finally:
                del self._sessions[session.id]

        return stream

    async def _post(self, request: Request) -> Response:
        caller = admitted(request.scope)
        session = self._session(request, caller)
        body = await request.body()
        try:
            message = jsonrpc_message_adapter.validate_json(body, by_name=False)
        except ValidationError:
            return problem_response(make_problem("invalid_json", 400, "the body is not one JSON-RPC message"))
        identity = identity_in(request.scope)
        if identity is not None:
            try:
                require_scopes(identity, needed(body))
            except InsufficientScope as error:
                await session.refuse(message, error)
                raise
        await session.deliver(message)
        return Response("Accepted", 202)

    def _session(self, request: Request, caller: Caller | None) -> SseSession:
        """The session that the request names, if it is the caller's, as far as a token or the path says who that is."""
        given = request.query_params.getlist("session_id")
        if len(given) != 1:
            raise InvalidInput("say once which session the message is for: ?session_id=")
        session = self._sessions.get(given[0])
        if session is None or (caller is not None and caller != admitted(session.opened.scope)):
            raise no_such_session()
        return session
