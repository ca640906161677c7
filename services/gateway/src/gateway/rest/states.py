"""`/api/v1/memories/actions`: pause, resume, archive and restore (surface §1.2)."""

from typing import Annotated, Literal

from contracts.api import StateChanged
from contracts.errors import BadRequest
from contracts.ids import parse_uuid
from fastapi import Body, Query, Response
from pydantic import AfterValidator, BaseModel, Field

from gateway.inputs import MAX_IDS, STRICT, MemoryId, MemoryIds, Name
from gateway.rest.common import Message, Params, RestDep, json_answer, location, requires, router
from gateway.service import Everything, InCategories, OfApp, Scope, Selection, These

routes = router("/api/v1/memories/actions", "memories")

_DONE = {"paused": "paused", "active": "resumed", "archived": "archived"}


def _check_id(value: str) -> str:
    return parse_uuid(value)


_Id = Annotated[str, AfterValidator(_check_id)]


class ChangeState(BaseModel):
    """A state, and the memories to set it for, chosen in one way: by their ids, by categories, by the app that wrote
    them, or all."""

    model_config = STRICT
    user_id: Name | None = None
    memory_ids: Annotated[list[MemoryId], Field(max_length=MAX_IDS)] | None = None
    category_ids: Annotated[list[_Id], Field(max_length=MAX_IDS)] | None = None
    app_id: _Id | None = None
    all_for_app: bool = Field(default=False, description="With `app_id` or `memory_ids`; it adds nothing to either")
    global_pause: bool = Field(default=False, description="All memories of the user")
    state: Literal["active", "paused", "archived"] | None = Field(default="paused", description="null: paused")


_LATER = {202: {"model": StateChanged, "description": "Durable, not in force yet; `Location` is its operation"}}


@routes.post("/archive", dependencies=[requires(Scope.WRITE)], response_model=Message, responses={**_LATER})
async def archive_memories(
    body: Annotated[MemoryIds, Body()], params: Annotated[Params, Query()], rest: RestDep
) -> Response:
    """Put memories away: hidden from apps, kept for their owner. All or nothing."""
    ids = tuple(dict.fromkeys(body))
    return _answer(await rest.service.set_state(rest.caller(params.user_id), These(ids), "archived"), "archived")


@routes.post("/pause", dependencies=[requires(Scope.WRITE)], response_model=Message, responses={**_LATER})
async def pause_memories(body: ChangeState, rest: RestDep) -> Response:
    """Pause a selection of memories, or make it active or archived. No app sees what is not active."""
    state = body.state or "paused"
    return _answer(await rest.service.set_state(rest.caller(body.user_id), _selection(body), state), _DONE[state])


@routes.post("/restore", dependencies=[requires(Scope.WRITE)], response_model=Message, responses={**_LATER})
async def restore_memories(
    body: Annotated[MemoryIds, Body()], params: Annotated[Params, Query()], rest: RestDep
) -> Response:
    """Bring deleted memories back, as they were. All or nothing."""
    ids = tuple(dict.fromkeys(body))
    return _answer(await rest.service.restore(rest.caller(params.user_id), ids), "restored")


def _selection(body: ChangeState) -> Selection:
    ways: list[Selection] = []
    if body.global_pause:
        ways.append(Everything())
    if body.app_id is not None:
        ways.append(OfApp(body.app_id))
    if body.memory_ids:
        ways.append(These(tuple(dict.fromkeys(body.memory_ids))))
    if body.category_ids:
        ways.append(InCategories(tuple(dict.fromkeys(body.category_ids))))
    if not ways:
        raise BadRequest("nothing is selected: give memory_ids, category_ids, app_id or global_pause")
    if len(ways) > 1:
        raise BadRequest("select in one way: by memory_ids, category_ids or app_id, or all with global_pause")
    return ways[0]


def _answer(done: StateChanged, word: str) -> Response:
    if done.state != "searchable" and done.operation_id is not None:
        return json_answer(done, 202, location(done.operation_id))
    return json_answer(Message(message=f"Successfully {word} {done.changed} memories"))
