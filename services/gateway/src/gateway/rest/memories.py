"""`/api/v1/memories`: create, list, get, update, delete (surface §1.2)."""

from typing import Annotated, Literal

from contracts.api import AddedMemory, Deleted, History, Memory, MemoryDetail, OperationResult, Page
from contracts.errors import BadRequest, InvalidInput, NotFound
from contracts.ids import parse_uuid
from contracts.openmemory import AccessLog
from contracts.promises import Wait
from fastapi import Header, Query, Response
from pydantic import BaseModel, Field

from gateway.auth.refusals import as_told, may_read
from gateway.inputs import (
    STRICT,
    AsOf,
    Categories,
    Epoch,
    MemoryId,
    MemoryIds,
    Metadata,
    Name,
    Needle,
    Text,
    require_name,
)
from gateway.rest.common import (
    Message,
    Params,
    Rest,
    RestDep,
    comma_separated,
    json_answer,
    listed,
    location,
    requires,
    router,
)
from gateway.service import OWNER_APP, Caller, ListQuery, Scope

DEFAULT_APP = "openmemory"
routes = router("/api/v1/memories", "memories")


class ListParams(Params):
    """Filters of the list."""

    app_id: str | None = None
    from_date: Epoch | None = Field(default=None, description="Epoch seconds, inclusive")
    to_date: Epoch | None = Field(default=None, description="Epoch seconds, inclusive")
    categories: Needle | None = Field(
        default=None, description="Comma-separated names, any case; a memory with any of them"
    )
    search_query: Needle | None = Field(default=None, description="Substring of the text, any case")
    sort_column: Literal["memory", "app_name", "created_at"] = "created_at"
    sort_direction: Literal["asc", "desc"] = "desc"
    page: int = Field(default=1, ge=1, le=1_000_000)
    size: int = Field(default=50, ge=1, le=100)
    as_of: AsOf | None = None


class GetParams(Params):
    """Which state of the memory."""

    as_of: AsOf | None = None


class AccessLogParams(Params):
    """Which page of the access log."""

    page: int = Field(default=1, ge=1, le=1_000_000)
    page_size: int = Field(default=10, ge=1, le=100)


class RelatedParams(Params):
    """Which page of the related memories, and in which states."""

    include_inactive: bool = Field(default=False, description="Paused and archived ones as well")
    page: int = Field(default=1, ge=1, le=1_000_000)
    size: int = Field(default=5, ge=1, le=100)


class CreateMemory(BaseModel):
    """A text to remember."""

    model_config = STRICT
    user_id: Name | None = None
    text: Text
    metadata: Metadata = {}
    infer: bool = Field(default=True, description="Extract facts, where an LLM is configured; else stored verbatim")
    app: Name | None = Field(default=None, description="The app that writes: the token's; without one, `openmemory`")
    categories: Categories = []
    idempotency_key: Name | None = Field(default=None, description="A retry with the same key has one effect")
    wait: Wait = Field(default="searchable", description="How far the write must be before the answer")


class UpdateMemory(BaseModel):
    """Another text for a memory."""

    model_config = STRICT
    memory_content: Text
    memory_id: MemoryId | None = Field(default=None, description="The one that the path names, if any")
    user_id: Name | None = None


class DeleteMemories(BaseModel):
    """The memories to delete: all or nothing."""

    model_config = STRICT
    memory_ids: MemoryIds
    user_id: Name | None = None


@routes.get("", dependencies=[requires(Scope.READ)])
async def list_memories(params: Annotated[ListParams, Query()], rest: RestDep) -> Page:
    """One page of the user's memories, in every state but deleted."""
    query = ListQuery(
        app_ids=None if params.app_id is None else (parse_uuid(params.app_id, "app id"),),
        from_date=params.from_date,
        to_date=params.to_date,
        categories=comma_separated(params.categories),
        search=params.search_query or None,
        sort_column=params.sort_column,
        sort_direction=params.sort_direction,
        page=params.page,
        size=params.size,
        as_of=params.as_of,
    )
    return await rest.service.page(rest.caller(params.user_id), query)


@routes.post(
    "",
    dependencies=[requires(Scope.WRITE, apps=True)],
    response_model=AddedMemory | OperationResult,
    responses={202: {"model": OperationResult, "description": "Durable, not done yet; `Location` is its operation"}},
)
async def create_memory(
    body: CreateMemory, rest: RestDep, idempotency_key: Annotated[str | None, Header()] = None
) -> Response:
    """Remember a text. Answers with the memory when there is exactly one, else with what the operation did. `event` is
    NONE where this very text was remembered already: nothing is stored, and the answer is the memory that was there."""
    if idempotency_key is not None:
        require_name(idempotency_key, "Idempotency-Key")
        if body.idempotency_key not in (None, idempotency_key):
            raise InvalidInput("the Idempotency-Key header and idempotency_key in the body differ")
    caller = rest.caller(body.user_id, body.app, default_app=DEFAULT_APP)
    result = await rest.service.add(
        caller,
        body.text,
        metadata=body.metadata,
        categories=tuple(body.categories),
        infer=body.infer,
        idempotency_key=body.idempotency_key or idempotency_key,
        wait=body.wait,
    )
    item = result.results[0] if len(result.results) == 1 else None
    shown = item is not None and item.event in ("ADD", "NONE") and may_read(rest.identity)
    if result.state != "searchable" or item is None or not shown:
        return await _written(rest, rest.caller(body.user_id), result)
    try:
        said = (item.memory or body.text, body.metadata, tuple(body.categories))
        return json_answer(await rest.service.added(caller, item, *said))
    except NotFound:  # deleted meanwhile: the write happened all the same
        return json_answer(result)


@routes.delete(
    "",
    dependencies=[requires(Scope.DELETE, apps=True)],
    response_model=Message,
    responses={202: {"model": Deleted, "description": "Durable, not done yet; `Location` is its operation"}},
)
async def delete_memories(body: DeleteMemories, rest: RestDep) -> Response:
    """Delete these memories, or none of them when one is unknown."""
    ids = tuple(dict.fromkeys(body.memory_ids))
    done = await rest.service.delete(rest.caller(body.user_id), ids, all_or_nothing=True)
    if done.state != "searchable" and done.operation_id is not None:
        return json_answer(done, 202, location(done.operation_id))
    return json_answer(Message(message=f"Successfully deleted {done.deleted} memories"))


@routes.get("/{memory_id}", dependencies=[requires(Scope.READ)])
async def get_memory(memory_id: MemoryId, params: Annotated[GetParams, Query()], rest: RestDep) -> MemoryDetail:
    """One memory. Another user's id and an unknown one look alike: 404, as one does that was not there then."""
    return await rest.service.get(rest.caller(params.user_id), memory_id, as_of=params.as_of)


@routes.get("/{memory_id}/history", dependencies=[requires(Scope.READ)])
async def get_history(memory_id: MemoryId, params: Annotated[Params, Query()], rest: RestDep) -> History:
    """Each version and state change of a memory, also of a deleted one."""
    return await rest.service.history(rest.caller(params.user_id), memory_id)


@routes.get("/{memory_id}/access-log", dependencies=[requires(Scope.READ)])
async def get_access_log(memory_id: MemoryId, params: Annotated[AccessLogParams, Query()], rest: RestDep) -> AccessLog:
    """Which apps read the memory, when and how, newest first; also of a deleted one. The last moment may be missing."""
    return await rest.service.access_log(
        rest.caller(params.user_id), memory_id, page=params.page, page_size=params.page_size
    )


@routes.get("/{memory_id}/related", dependencies=[requires(Scope.READ, index=True)])
async def get_related(memory_id: MemoryId, params: Annotated[RelatedParams, Query()], rest: RestDep) -> Page:
    """Memories that share categories with this one, most of them first, then those that are similar in meaning."""
    return await rest.service.related(
        rest.caller(params.user_id), memory_id, inactive=params.include_inactive, page=params.page, size=params.size
    )


@routes.put(
    "/{memory_id}",
    dependencies=[requires(Scope.WRITE, apps=True)],
    response_model=Memory | OperationResult,
    responses={202: {"model": OperationResult, "description": "Durable, not done yet; `Location` is its operation"}},
)
async def update_memory(memory_id: MemoryId, body: UpdateMemory, rest: RestDep) -> Response:
    """Give a memory another text: a revision, kept in its history."""
    if body.memory_id not in (None, memory_id):
        raise BadRequest("memory_id in the body is not the one in the path")
    caller = rest.caller(body.user_id)
    return await _written(rest, caller, await rest.service.revise(caller, memory_id, body.memory_content))


async def _written(rest: Rest, caller: Caller, result: OperationResult) -> Response:
    """The answer to a write: 202 while it is not done, or reads will not show it; the memory when it led to exactly
    one, for its owner; else the result."""
    result = as_told(result, rest.identity)
    if result.state == "accepted" or result.reason is not None:
        return json_answer(result, 202, location(result.operation_id))
    item = result.results[0] if len(result.results) == 1 else None
    if item is None or item.event == "DELETE" or result.state != "searchable" or not _sees_all(rest, caller):
        return json_answer(result)
    try:
        detail = await rest.service.get(caller, item.id)
    except NotFound:  # deleted meanwhile: the write happened all the same
        return json_answer(result)
    return json_answer(listed(detail))


def _sees_all(rest: Rest, caller: Caller) -> bool:
    return caller.app == OWNER_APP and may_read(rest.identity)
