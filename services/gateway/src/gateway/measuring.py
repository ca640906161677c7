"""How often and how long: HTTP requests by route, calls of MCP tools by name.

Only names that there are become attributes: a client chooses paths, methods and names of tools, and could otherwise
make a new time series with each request.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext
from mcp.shared.exceptions import MCPError
from runtime.metrics import OPEN_REQUESTS, REQUESTS, TOOLS
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import CODE_META_KEY, PROBLEM

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PROBES = frozenset({"/livez", "/readyz", "/metrics"})
_CALL = "tools/call"


class MeasuringMiddleware:
    """ASGI middleware around everything. A stream of events is counted while it is open, and not timed: it lasts as
    long as somebody listens."""

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _PROBES:
            await self._app(scope, receive, send)
            return
        state: dict[str, Any] = scope.setdefault("state", {})
        method: str = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        first = {"http.request.method": method, "url.scheme": str(scope.get("scheme", "http"))}
        status, stream = 0, False

        async def answer(message: Message) -> None:
            nonlocal status, stream
            if message["type"] == "http.response.start":
                status, stream = message["status"], method == "GET" and _is_stream(message)
            await send(message)

        OPEN_REQUESTS.add(1, first)
        began = time.perf_counter()
        try:
            await self._app(scope, receive, answer)
        finally:
            OPEN_REQUESTS.add(-1, first)
            if not stream:
                took = time.perf_counter() - began
                outcome = _outcome(self._route(scope), status, state.get(PROBLEM))
                REQUESTS.record(took, {**first, **outcome})

    def _route(self, scope: Scope) -> str | None:
        known = getattr(scope.get("route"), "path", None)
        if isinstance(known, str):
            return known
        # FastAPI does not say which of the routes that are not its own it has taken; it takes the first that fits.
        for route in self._routes:
            if isinstance(route, Route) and route.path_regex.match(scope["path"]):
                return route.path
        return None


def _outcome(route: str | None, status: int, problem: str | None) -> dict[str, str | int]:
    known: dict[str, str | int] = {} if route is None else {"http.route": route}
    if status:
        known["http.response.status_code"] = status
    if problem is not None:
        known["error.type"] = problem
    elif status == 0 or status >= 500:
        known["error.type"] = str(status or "no_response")
    return known


def _is_stream(start: Message) -> bool:
    return any(key == b"content-type" and value.startswith(b"text/event-stream") for key, value in start["headers"])


def measuring(tools: Collection[str]) -> ServerMiddleware[Any]:
    """Middleware of the MCP server; `tools` are the names that there are."""

    async def measured(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        name: object = ctx.params.get("name") if ctx.params else None
        if ctx.method != _CALL or not isinstance(name, str) or name not in tools:
            return await call_next(ctx)
        attributes = {"mcp.method.name": _CALL, "gen_ai.tool.name": name}
        began = time.perf_counter()
        try:
            result = await call_next(ctx)
        except BaseException as error:
            kind = str(error.error.code) if isinstance(error, MCPError) else type(error).__name__
            TOOLS.record(time.perf_counter() - began, {**attributes, "error.type": kind})
            raise
        TOOLS.record(time.perf_counter() - began, {**attributes, **_tool_error(result)})
        return result

    return measured


def _tool_error(result: HandlerResult) -> dict[str, str]:
    if not isinstance(result, dict) or result.get("isError") is not True:
        return {}
    meta = cast("Mapping[str, object]", result.get("_meta") or {})
    return {"error.type": str(meta.get(CODE_META_KEY, "tool_error"))}
