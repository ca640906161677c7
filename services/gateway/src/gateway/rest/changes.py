"""`/api/v1/memories/changes` and `/timeline`: what became of the memories between two moments, and when."""

from typing import Annotated

from contracts.changes import ChangePage, DifferenceKind, Timeline
from fastapi import Query
from pydantic import Field

from gateway.inputs import AsOf, Needle
from gateway.rest.common import Params, RestDep, requires, router
from gateway.service import ChangeQuery, Scope

routes = router("/api/v1/memories", "memories")


class ChangeParams(Params):
    """Which two moments, and what of the difference."""

    since: AsOf
    until: AsOf | None = Field(default=None, description="The later moment: a time or position; now when absent")
    kind: DifferenceKind | None = Field(default=None, description="Memories that differ by this; all when absent")
    search_query: Needle | None = Field(default=None, description="Substring of the text before or after, any case")
    page: int = Field(default=1, ge=1, le=1_000_000)
    size: int = Field(default=50, ge=1, le=100)


class TimelineParams(Params):
    """How finely."""

    parts: int = Field(default=60, ge=1, le=500)


@routes.get("/changes", dependencies=[requires(Scope.READ)])
async def changes(params: Annotated[ChangeParams, Query()], rest: RestDep) -> ChangePage:
    """What differs between two moments, memory by memory: what was added, deleted, has another text, state or other
    categories. What changed and changed back does not differ."""
    query = ChangeQuery(
        since=params.since,
        until=params.until,
        kind=params.kind,
        search=params.search_query or None,
        page=params.page,
        size=params.size,
    )
    return await rest.service.differences(rest.caller(params.user_id), query)


@routes.get("/timeline", dependencies=[requires(Scope.READ)])
async def timeline(params: Annotated[TimelineParams, Query()], rest: RestDep) -> Timeline:
    """When memories changed, from the first change on."""
    return await rest.service.timeline(rest.caller(params.user_id), params.parts)
