"""`GET /api/v1/search`: by meaning and by words."""

from typing import Annotated

from contracts.api import SearchResults
from fastapi import Query
from pydantic import Field

from gateway.inputs import MAX_LIMIT, AsOf, Name, Needle, Score
from gateway.inputs import Query as QueryText
from gateway.rest.common import Params, RestDep, comma_separated, requires, router
from gateway.service import Scope

routes = router("/api/v1/search", "search")


class SearchParams(Params):
    """What to search for, and among what."""

    query: QueryText
    app: Name | None = Field(
        default=None,
        description="Search as this app, and find what it may see: the token's; without one, the owner's own",
    )
    limit: int = Field(default=10, ge=1, le=MAX_LIMIT)
    categories: Needle | None = Field(default=None, description="Comma-separated names, any case")
    apps: Needle | None = Field(default=None, description="Comma-separated names of the apps that wrote the memories")
    min_score: Score | None = None
    as_of: AsOf | None = None


@routes.get("", dependencies=[requires(Scope.READ, apps=True, index=True)])
async def search(params: Annotated[SearchParams, Query()], rest: RestDep) -> SearchResults:
    """The memories nearest to the query, best first."""
    return await rest.service.search(
        rest.caller(params.user_id, params.app),
        params.query,
        limit=params.limit,
        categories=comma_separated(params.categories),
        apps=comma_separated(params.apps),
        min_score=params.min_score,
        as_of=params.as_of,
    )
