"""`GET /api/v1/stats`: how much there is."""

from typing import Annotated

from contracts.api import Stats
from fastapi import Query

from gateway.rest.common import Params, RestDep, requires, router
from gateway.service import Scope

routes = router("/api/v1/stats", "stats")


@routes.get("", dependencies=[requires(Scope.READ)])
async def stats(params: Annotated[Params, Query()], rest: RestDep) -> Stats:
    """Totals of the user's memories and apps."""
    return await rest.service.stats(rest.caller(params.user_id))
