"""HTTP to a Memlog that may be restarted meanwhile: waits for it, repeats what is safe to repeat, and says what failed
as the JSON-RPC error that the MCP client is told."""

import json
import time
from collections.abc import Callable
from typing import Any, cast

import anyio
import httpx2
import structlog
from gateway.mcp.tools import tools
from gateway.service import Scope
from mcp_types import INTERNAL_ERROR, INVALID_REQUEST

_POLL_S = 0.2
_PROBLEM_JSON = "application/problem+json"
_READS = frozenset(spec.name for spec in tools() if spec.scope is Scope.READ)
_KEPT_HEADERS = ("content-type", "mcp-session-id")
log = structlog.get_logger("memlog.mcp")


class PatientTransport(httpx2.AsyncBaseTransport):
    """Each request goes to wherever `locate` says that Memlog is now (its path stays). Never raises for a Memlog that
    is down or that fails: after `patience` seconds the answer is a JSON-RPC error."""

    def __init__(self, locate: Callable[[], str], *, patience: float) -> None:
        self._locate = locate
        self._patience = patience
        self._inner = httpx2.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        deadline = time.monotonic() + self._patience
        waiting = False
        while True:
            where = self._aim(request)
            try:
                answer = await self._attempt(request)
            except httpx2.TransportError as error:
                reached = not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
                if isinstance(error, httpx2.TimeoutException) and reached:
                    return _failure(504, INTERNAL_ERROR, f"Memlog at {where} did not answer in time")
                if reached and not _repeatable(request):
                    text = "Memlog stopped while it served this call. It may have been carried out: look before you"
                    return _failure(502, INTERNAL_ERROR, f"{text} call again")
                if time.monotonic() > deadline:
                    return _failure(503, INTERNAL_ERROR, f"no Memlog answers at {where}. Start it with: memlog up")
                if not waiting:
                    log.warning("memlog_does_not_answer", url=where, reason=type(error).__name__)
                    waiting = True
                await anyio.sleep(_POLL_S)
            else:
                if waiting:
                    log.warning("memlog_answers_again", url=where)
                return answer

    def _aim(self, request: httpx2.Request) -> str:
        where = self._locate()
        found = httpx2.URL(where)
        request.url = request.url.copy_with(scheme=found.scheme, host=found.host, port=found.port)
        request.headers["host"] = found.netloc.decode("ascii")
        return where

    async def _attempt(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        kind = response.headers.get("content-type", "")
        if kind.startswith("text/event-stream"):
            return response
        # Read here, so that a connection that breaks in the middle of an answer is met with like any other.
        try:
            body = await response.aread()
        finally:
            await response.aclose()
        if kind.startswith(_PROBLEM_JSON):
            problem = json.loads(body)
            code = INTERNAL_ERROR if response.status_code >= 500 else INVALID_REQUEST
            detail = str(problem["detail"])
            if response.status_code == 401:
                detail += ". Set MEMLOG_TOKEN to a token of this client: memlog token issue --app CLIENT"
            return _failure(response.status_code, code, detail, {"code": problem["code"]})
        headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        return httpx2.Response(response.status_code, headers=headers, content=body)

    async def aclose(self) -> None:
        await self._inner.aclose()


def _failure(status: int, code: int, message: str, data: dict[str, Any] | None = None) -> httpx2.Response:
    """An HTTP answer from which the SDK takes the error; it puts the request's id in."""
    error: dict[str, Any] = {"code": code, "message": message, **({"data": data} if data else {})}
    return httpx2.Response(status, json={"jsonrpc": "2.0", "id": None, "error": error})


def _repeatable(request: httpx2.Request) -> bool:
    """Whether sending this again can do nothing twice: everything but the calls of tools that write."""
    message = cast("dict[str, Any]", json.loads(request.content))
    params = message.get("params")
    name = cast("dict[str, Any]", params).get("name") if isinstance(params, dict) else None
    return message.get("method") != "tools/call" or name in _READS
