"""`GET /api/v1/connections`: who is connected now."""

from typing import Annotated

from contracts.connections import ConnectionList
from fastapi import Query

from gateway.rest.common import Params, RestDep, requires, router
from gateway.service import Scope

routes = router("/api/v1/connections", "connections")


@routes.get("", dependencies=[requires(Scope.READ)])
async def connections(params: Annotated[Params, Query()], rest: RestDep) -> ConnectionList:
    """The user's clients that have a stream open, or have called in the last five minutes: of every gateway."""
    return await rest.service.connections(rest.caller(params.user_id))
