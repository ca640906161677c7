"""What every handler of the MCP server needs: its context, who calls, and how errors leave that are no tool's."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog
from contracts.errors import MemlogError
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS
from pydantic import ValidationError
from starlette.requests import Request

from gateway.auth.refusals import identity_in, require_scopes
from gateway.errors import Problem, problem_for, problem_for_fields
from gateway.mcp.identity import caller_of
from gateway.service import Caller, Scope

Context = ServerRequestContext[dict[str, Any], Request]

_P = TypeVar("_P")
_R = TypeVar("_R")


def caller_in(ctx: Context, default_user: str, needs: Scope) -> Caller:
    """The caller of this message, who may do what needs this scope: held against the token here once more, whatever let
    the message in. Raises as `caller_of` and `require_scopes` do."""
    assert ctx.request is not None  # served over HTTP only
    require_scopes(identity_in(ctx.request.scope), (needs,))
    return caller_of(ctx.request, ctx.meta, default_user)


def bounded(handler: Callable[[Context, _P], Awaitable[_R]]) -> Callable[[Context, _P], Awaitable[_R]]:
    """The boundary of a handler whose result has no place for errors: they leave as JSON-RPC errors, with Memlog's
    code in their data, and what nobody foresaw is in the log only."""

    log = structlog.get_logger("gateway.mcp")

    async def answer(ctx: Context, params: _P) -> _R:
        try:
            return await handler(ctx, params)
        except MCPError:
            raise
        except ValidationError as error:
            raise rpc_error(problem_for_fields(error.errors(include_url=False, include_input=False))) from None
        except MemlogError as error:
            raise rpc_error(problem_for(error)) from None
        except Exception as error:
            log.exception("request_failed", method=ctx.method, reason=type(error).__name__)
            raise rpc_error(problem_for(None)) from None

    return answer


def rpc_error(problem: Problem) -> MCPError:
    """The problem as a JSON-RPC error."""
    code = INTERNAL_ERROR if problem.status >= 500 else INVALID_PARAMS
    return MCPError(code, problem.detail, {"code": problem.code})
