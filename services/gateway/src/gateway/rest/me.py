"""`GET /api/v1/me`: for whom requests like this one act, so that a page knows what to offer."""

from typing import Annotated

from contracts.api import View
from contracts.tokens import SCOPES, ScopeName
from fastapi import Query
from pydantic import Field

from gateway.rest.common import Params, RestDep, requires, router
from gateway.service import Scope

routes = router("/api/v1/me", "me")


class Me(View):
    """`authenticated`: a token says so; without authentication everybody is everything."""

    user: str
    app: str
    scopes: list[ScopeName]
    operator: bool
    authenticated: bool
    trace_url: str | None = Field(description="Where a trace is looked at; {trace_id} stands for its id")


@routes.get("", dependencies=[requires(Scope.READ, apps=True)])
async def me(params: Annotated[Params, Query()], rest: RestDep) -> Me:
    """The user and app of this request, and what it may do."""
    caller, identity = rest.caller(params.user_id), rest.identity
    return Me(
        user=caller.user,
        app=caller.app,
        scopes=[name for name in SCOPES if identity is None or Scope(name) in identity.scopes],
        operator=identity is None or identity.operator,
        authenticated=identity is not None,
        trace_url=rest.trace_url,
    )
