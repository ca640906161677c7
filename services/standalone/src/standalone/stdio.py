"""`memlog mcp`: MCP over stdin and stdout, for clients that only start processes.

A bridge to the Streamable HTTP endpoint of the Memlog that runs, so that one Memlog serves all clients, however they
are connected. It reads of a message only what HTTP wants as headers, so both revisions pass as they are.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import quote

import anyio
import httpx2
import structlog
from contracts.errors import InvalidInput
from gateway.mcp.identity import path_caller
from mcp.client.streamable_http import streamable_http_client
from mcp.server.stdio import stdio_server
from mcp.shared._stream_protocols import ReadStream, WriteStream
from mcp.shared.inbound import (
    MCP_METHOD_HEADER,
    MCP_NAME_HEADER,
    MCP_PROTOCOL_VERSION_HEADER,
    NAME_BEARING_METHODS,
    encode_header_value,
)
from mcp.shared.message import ClientMessageMetadata, SessionMessage
from mcp_types import (
    PARSE_ERROR,
    PROTOCOL_VERSION_META_KEY,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
)
from runtime.logging import configure_logging

from standalone.failures import NotReachable
from standalone.patient_http import PatientTransport
from standalone.rest_client import bearer

log = structlog.get_logger("memlog.mcp")
_PROBE_S = 10.0
_LAST_ANSWERS_S = 30.0
_PATIENCE_S = 30.0
_TIMEOUT = httpx2.Timeout(30.0, read=300.0)


def run_stdio(locate: Callable[[], str], client: str | None, user: str, token: str | None) -> None:
    """Bridge until stdin ends. `locate` says where Memlog is, and is asked again whenever it does not answer. Without a
    `client`, the `token` says who speaks.

    Raises `InvalidInput` for a name or token that is none, `NotReachable` when no Memlog answers at the start."""
    path = "/mcp" if client is None else _path(client, user)
    headers = bearer(token)
    # It keeps nothing, so to end at once is right; and a thread that waits for stdin can not be told to stop.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    configure_logging("mcp", to=sys.stderr)
    logging.getLogger("mcp").setLevel(logging.CRITICAL)  # the SDK logs messages that it can not parse: memories
    asyncio.run(_run(locate, path, headers))


def _path(client: str, user: str) -> str:
    path_caller({"client": client, "user": user})
    if "/" in client + user:
        raise InvalidInput("the client's and the user's name can not hold a '/'")
    return f"/mcp/{quote(client, safe='')}/http/{quote(user, safe='')}"


async def _run(locate: Callable[[], str], path: str, headers: dict[str, str]) -> None:
    base = locate().rstrip("/")
    async with httpx2.AsyncClient(transport=httpx2.AsyncHTTPTransport(), timeout=_PROBE_S) as http:
        await _require_memlog(http, base)
    transport = PatientTransport(locate, patience=_PATIENCE_S)
    async with stdio_server() as (from_client, to_client), from_client, to_client:
        try:
            async with (
                httpx2.AsyncClient(transport=transport, headers=headers, timeout=_TIMEOUT) as http,
                streamable_http_client(f"{base}{path}", http_client=http, terminate_on_close=False) as (
                    from_memlog,
                    to_memlog,
                ),
            ):
                await Bridge().run(from_client, to_client, from_memlog, to_memlog)
        except Exception as error:
            # Nothing can be bridged any more, and the thread that waits for stdin would keep the process.
            log.exception("bridge_failed", reason=type(error).__name__)
            os._exit(1)


async def _require_memlog(http: httpx2.AsyncClient, base: str) -> None:
    try:
        answer = await http.get(f"{base}/livez")
        alive = answer.status_code == 200 and answer.json() == {"status": "ok"}
        reason = f"what answers there is something else, with status {answer.status_code}"
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        alive, reason = False, type(error).__name__
    if not alive:
        raise NotReachable(f"no Memlog answers at {base} ({reason}). Start it with: memlog up")


class Bridge:
    """Carries messages both ways. Knows which requests wait for an answer, and the revision that `initialize` agreed
    on."""

    def __init__(self) -> None:
        self._waiting: set[RequestId] = set()
        self._handshake: RequestId | None = None
        self._agreed: str | None = None
        self._answered = anyio.Event()

    async def run(
        self,
        from_client: ReadStream[SessionMessage | Exception],
        to_client: WriteStream[SessionMessage],
        from_memlog: ReadStream[SessionMessage | Exception],
        to_memlog: WriteStream[SessionMessage],
    ) -> None:
        """Until the client's messages end and each request is answered; for the last answers it waits 30 s."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._answer, from_memlog, to_client)
            async for item in from_client:
                if isinstance(item, Exception):
                    error = ErrorData(code=PARSE_ERROR, message="this line is not a JSON-RPC message")
                    await to_client.send(SessionMessage(JSONRPCError(jsonrpc="2.0", id=None, error=error)))
                else:
                    await to_memlog.send(self._outbound(item.message))
            with anyio.move_on_after(_LAST_ANSWERS_S):
                while self._waiting:
                    self._answered = anyio.Event()
                    await self._answered.wait()
            group.cancel_scope.cancel()

    async def _answer(
        self, from_memlog: ReadStream[SessionMessage | Exception], to_client: WriteStream[SessionMessage]
    ) -> None:
        async for item in from_memlog:
            if isinstance(item, Exception):
                continue  # a message of the server that was none; its request was answered with an error
            message = item.message
            await to_client.send(SessionMessage(message))
            if isinstance(message, JSONRPCResponse) and message.id == self._handshake:
                agreed = message.result.get("protocolVersion")
                self._agreed = agreed if isinstance(agreed, str) else None
            if isinstance(message, JSONRPCResponse | JSONRPCError) and message.id is not None:
                self._settle(message.id)

    def _outbound(self, message: JSONRPCMessage) -> SessionMessage:
        match message:
            case JSONRPCRequest():
                self._waiting.add(message.id)
                if message.method == "initialize":
                    self._handshake = message.id
            case JSONRPCNotification(
                method="notifications/cancelled", params={"requestId": str() | int() as cancelled}
            ):
                self._settle(cancelled)
            case _:
                pass
        return SessionMessage(message, ClientMessageMetadata(headers=_headers(message, self._agreed)))

    def _settle(self, request_id: RequestId) -> None:
        self._waiting.discard(request_id)
        self._answered.set()


def _headers(message: JSONRPCMessage, agreed: str | None) -> dict[str, str]:
    """What the specification's HTTP transport mirrors from a message: from 2026-07-28 on, each says its revision, its
    method and what it names; before, the revision is the one that `initialize` agreed on. (No tool of Memlog declares
    an `x-mcp-header` argument.)"""
    if not isinstance(message, JSONRPCRequest | JSONRPCNotification):
        return {} if agreed is None else {MCP_PROTOCOL_VERSION_HEADER: agreed}
    params = message.params or {}
    meta = params.get("_meta")
    revision = cast("dict[str, Any]", meta).get(PROTOCOL_VERSION_META_KEY) if isinstance(meta, dict) else None
    if message.method == "initialize" or not isinstance(revision, str):
        return {} if agreed is None or message.method == "initialize" else {MCP_PROTOCOL_VERSION_HEADER: agreed}
    mirrored = {MCP_PROTOCOL_VERSION_HEADER: revision, MCP_METHOD_HEADER: message.method}
    name = params.get(NAME_BEARING_METHODS.get(message.method, ""))
    if isinstance(name, str):
        mirrored[MCP_NAME_HEADER] = name
    return {header: encode_header_value(value) for header, value in mirrored.items()}
