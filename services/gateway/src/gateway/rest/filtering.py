"""`POST /api/v1/memories/filter`: the owner's list, filtered as OpenMemory's dashboard does."""

from typing import Annotated, Literal, TypeVar

from contracts.api import Page
from contracts.errors import BadRequest
from contracts.ids import parse_uuid
from pydantic import AfterValidator, BaseModel, Field

from gateway.inputs import STRICT, AsOf, Epoch, Name, Needle
from gateway.rest.common import RestDep, requires, router
from gateway.service import ListQuery, Scope

routes = router("/api/v1/memories", "memories")

_Column = Literal["memory", "app_name", "created_at"]
_Direction = Literal["asc", "desc"]
_COLUMNS: dict[str, _Column] = {"memory": "memory", "app_name": "app_name", "created_at": "created_at"}
_DIRECTIONS: dict[str, _Direction] = {"asc": "asc", "desc": "desc"}
_T = TypeVar("_T")


def _check_id(value: str) -> str:
    return parse_uuid(value)


_Ids = Annotated[list[Annotated[str, AfterValidator(_check_id)]], Field(max_length=1000)]


class FilterMemories(BaseModel):
    """Filters of the list. What is absent, null or empty restricts nothing. Times are epoch seconds, inclusive."""

    model_config = STRICT
    user_id: Name | None = None
    page: int = Field(default=1, ge=1, le=1_000_000)
    size: int = Field(default=10, ge=1, le=100)
    search_query: Needle | None = Field(default=None, description="Substring of the text, any case")
    memory_ids: _Ids | None = Field(default=None, description="Those of these that are there")
    app_ids: _Ids | None = None
    category_ids: _Ids | None = Field(default=None, description="A memory with any of these categories")
    sort_column: str | None = Field(default=None, description="memory, app_name or created_at (default)")
    sort_direction: str | None = Field(default=None, description="asc or desc (default)")
    from_date: Epoch | None = None
    to_date: Epoch | None = None
    show_archived: bool | None = Field(default=False, description="Whether archived memories are listed as well")
    as_of: AsOf | None = None


@routes.post("/filter", dependencies=[requires(Scope.READ)])
async def filter_memories(body: FilterMemories, rest: RestDep) -> Page:
    """One page of the user's memories. Deleted ones are never listed, archived ones when asked for."""
    query = ListQuery(
        memory_ids=tuple(body.memory_ids) if body.memory_ids else None,
        app_ids=tuple(body.app_ids) if body.app_ids else None,
        category_ids=tuple(body.category_ids) if body.category_ids else None,
        from_date=body.from_date,
        to_date=body.to_date,
        search=body.search_query or None,
        states=("active", "paused", "archived") if body.show_archived else ("active", "paused"),
        sort_column=_one_of(_COLUMNS, body.sort_column, "created_at", "sort_column"),
        sort_direction=_one_of(_DIRECTIONS, body.sort_direction, "desc", "sort_direction"),
        page=body.page,
        size=body.size,
        as_of=body.as_of,
    )
    return await rest.service.page(rest.caller(body.user_id), query)


def _one_of(known: dict[str, _T], given: str | None, default: str, field: str) -> _T:
    found = known.get((given or default).lower())
    if found is None:
        raise BadRequest(f"{field}: '{(given or '')[:80]}' is none of {', '.join(known)}")
    return found
