"""A span for each request of MCP, in the trace that its `_meta` names, or else the headers that it came with.

In place of the SDK's own, which repeats what a client says: names of tools that are none, and messages of errors.
"""

from collections.abc import Collection
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext
from mcp.shared.exceptions import MCPError
from opentelemetry.trace import SpanKind
from runtime.telemetry import failed, span, trace_id

from gateway.edge import current_request_id

_METHODS = frozenset(
    {
        "initialize", "ping", "server/discover", "tools/list", "tools/call", "prompts/list", "prompts/get",
        "resources/list", "resources/templates/list", "resources/read", "completion/complete",
    }
)  # fmt: skip


def tracing(names: Collection[str]) -> ServerMiddleware[Any]:
    """The middleware. `names` are those of the tools and prompts that there are."""

    async def traced(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        if ctx.method not in _METHODS:
            return await call_next(ctx)
        name: object = ctx.params.get("name") if ctx.params else None
        target = name if isinstance(name, str) and name in names else None
        attributes = {"mcp.method.name": ctx.method, "memlog.request_id": current_request_id()}
        if ctx.method == "tools/call":
            attributes["gen_ai.operation.name"] = "execute_tool"
        if target is not None:
            attributes["gen_ai.prompt.name" if ctx.method == "prompts/get" else "gen_ai.tool.name"] = target
        called = ctx.method if target is None else f"{ctx.method} {target}"
        with span(called, _carrier(ctx), kind=SpanKind.SERVER, attributes=attributes) as request:
            try:
                result = await call_next(ctx)
            except MCPError as error:
                failed(request, str(error.error.code))
                raise
            if isinstance(result, dict) and result.get("isError") is True:
                failed(request, "tool_error")
            return result

    return traced


def _carrier(ctx: ServerRequestContext[Any, Any]) -> dict[str, str] | None:
    """What `_meta` says of the trace, None where it says nothing that counts."""
    meta: dict[str, Any] = dict(ctx.meta or {})
    said = {key: value for key in ("traceparent", "tracestate") if isinstance(value := meta.get(key), str)}
    return said if trace_id(said) is not None else None
