"""`/api/v1/stats`: how much there is, and how it came to be."""

from typing import Annotated

from contracts.activity import Activity, Step
from contracts.api import Stats
from fastapi import Query
from pydantic import Field

from gateway.rest.common import Params, RestDep, requires, router
from gateway.service import Scope

routes = router("/api/v1/stats", "stats")


class ActivityParams(Params):
    """Which steps: so many, the last of which is not over."""

    step: Step = "day"
    steps: int = Field(default=30, ge=1, le=366)


@routes.get("", dependencies=[requires(Scope.READ)])
async def stats(params: Annotated[Params, Query()], rest: RestDep) -> Stats:
    """Totals of the user's memories and apps."""
    return await rest.service.stats(rest.caller(params.user_id))


@routes.get("/activity", dependencies=[requires(Scope.READ)])
async def activity(params: Annotated[ActivityParams, Query()], rest: RestDep) -> Activity:
    """How many memories each app wrote, and how many answers it read, by day, week or month. What the owner reads in
    the dashboard is not counted."""
    return await rest.service.activity(rest.caller(params.user_id), params.step, params.steps)
