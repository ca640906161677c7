"""The MCP server: lists what there is, and turns a call into a service call and its outcome into a result."""

from typing import Any, cast

import structlog
from contracts.api import OperationResult
from contracts.errors import MemlogError
from mcp.server.caching import CacheHint
from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, CallToolRequestParams, ListToolsResult, PaginatedRequestParams
from pydantic import ValidationError
from starlette.requests import Request

from gateway.auth.refusals import as_told, identity_in
from gateway.connections import Connected, Connections
from gateway.errors import problem_for, problem_for_fields, tool_error
from gateway.mcp.boundary import Context, bounded, caller_in
from gateway.mcp.identity import caller_of, client_name
from gateway.mcp.progress import reporter
from gateway.mcp.prompts import RECALL, Prompts
from gateway.mcp.resources import Resources
from gateway.mcp.tools import Asked, ToolSpec, tools
from gateway.mcp.tracing import tracing
from gateway.measuring import measuring
from gateway.service import MemoryService

_INSTRUCTIONS = (
    "Memlog remembers things about the user across conversations and apps, on the user's own machine. Search it before"
    " answering when the user's preferences, plans or past work could matter; add what is worth keeping."
)
_SAME_FOR_ALL = CacheHint(ttl_ms=5 * 60 * 1000, scope="public")

CLIENT_IN_SCOPE = "memlog.mcp_client"
"""Where an `initialize` leaves the client's name, in its request's ASGI scope, for the endpoint to answer with."""

CONNECTION_IN_SCOPE = "memlog.connection"
"""Where the request that opened a stream has its `Connected`."""


def create_server(
    service: MemoryService, *, default_user: str, version: str, connections: Connections
) -> Server[dict[str, Any]]:
    """The server named `memlog`. On the SDK's lower level: arguments are checked once, by our models, and results
    are handed over as they go on the wire."""
    specs = {spec.name: spec for spec in tools()}
    listing = ListToolsResult(tools=[spec.listed for spec in specs.values()])
    resources = Resources(service, default_user)
    prompts = Prompts(service, default_user)
    log = structlog.get_logger("gateway.mcp")

    async def list_tools(ctx: Context, params: PaginatedRequestParams | None) -> ListToolsResult:
        return listing

    async def call_tool(ctx: Context, params: CallToolRequestParams) -> dict[str, Any]:
        spec = specs.get(params.name)
        if spec is None:
            raise MCPError(INVALID_PARAMS, f"Unknown tool; there are {', '.join(specs)}")
        try:
            return await _call(spec, service, ctx, params.arguments or {}, default_user)
        except ValidationError as error:
            return tool_error(problem_for_fields(error.errors(include_url=False, include_input=False)))
        except MemlogError as error:
            return tool_error(problem_for(error))
        except Exception as error:
            # The boundary of tools: a call ends as a tool error, and what nobody foresaw is in the log only.
            log.exception("tool_failed", tool=spec.name, reason=type(error).__name__)
            return tool_error(problem_for(None))

    server: Server[dict[str, Any]] = Server(
        "memlog",
        version=version,
        title="Memlog",
        instructions=_INSTRUCTIONS,
        on_list_tools=list_tools,
        on_list_resources=bounded(resources.listed),
        on_list_resource_templates=bounded(resources.templates),
        on_read_resource=bounded(resources.read),
        on_list_prompts=bounded(prompts.listed),
        on_get_prompt=bounded(prompts.get),
        on_completion=bounded(prompts.complete),
        get_tool_input_schema=lambda name: specs[name].listed.input_schema if name in specs else None,
        cache_hints={
            "tools/list": _SAME_FOR_ALL,
            "prompts/list": _SAME_FOR_ALL,
            "resources/templates/list": _SAME_FOR_ALL,
        },
    )
    server.add_request_handler("tools/call", CallToolRequestParams, call_tool)
    server.middleware[:] = [tracing({*specs, RECALL.name}), measuring(specs), _noting(connections, default_user)]
    return server


def _noting(connections: Connections, default_user: str) -> ServerMiddleware[Any]:
    """Notes who calls: for `CLIENT_IN_SCOPE`, and as connected."""

    async def noted(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        request = cast("Request | None", ctx.request)
        if request is None:
            return await call_next(ctx)
        named = client_name(ctx.params.get("clientInfo")) if ctx.method == "initialize" and ctx.params else None
        stream: Connected | None = request.scope.get(CONNECTION_IN_SCOPE)
        connections.called(stream or caller_of(request, ctx.meta, default_user, named))
        result = await call_next(ctx)
        if named is not None:
            request.scope[CLIENT_IN_SCOPE] = named
        return result

    return noted


async def _call(
    spec: ToolSpec, service: MemoryService, ctx: Context, given: dict[str, Any], default_user: str
) -> dict[str, Any]:
    caller = caller_in(ctx, default_user, spec.scope)
    result = await spec.call(Asked(service, caller, reporter(ctx)), given)
    if isinstance(result, OperationResult) and ctx.request is not None:
        result = as_told(result, identity_in(ctx.request.scope))
    return {
        "content": [{"type": "text", "text": result.model_dump_json(exclude_none=True)}],
        "structuredContent": result.model_dump(mode="json", exclude_none=True),
        "isError": False,
        "resultType": "complete",
    }
