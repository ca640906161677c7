"""`/api/v1/events`: the user's part of the log, page by page or as it grows."""

from typing import Annotated, Self

from contracts.api import EventPage
from contracts.errors import InvalidInput
from contracts.events import EVENTS
from contracts.ids import parse_uuid
from fastapi import Header, Query, Request, Response
from pydantic import AfterValidator, Field, model_validator

from gateway.mcp.sse_session import SseOptions
from gateway.rest.common import Params, RestDep, requires, router
from gateway.rest.event_stream import EventStreamResponse, OpenStreams
from gateway.service import EventFilter, Scope

routes = router("/api/v1/events", "events")


def _check_type(value: str) -> str:
    if value not in EVENTS:
        raise InvalidInput(f"'{value[:80]}' is no type of event; there are: {', '.join(sorted(EVENTS))}")
    return value


def _check_memory_id(value: str) -> str:
    return parse_uuid(value, "memory id")


class FollowParams(Params):
    """Which events, and from where on."""

    after: str | None = Field(default=None, description="A position: only what comes after it")
    type: Annotated[str, AfterValidator(_check_type)] | None = Field(default=None, description="As in docs/events.md")
    memory_id: Annotated[str, AfterValidator(_check_memory_id)] | None = None

    @property
    def wanted(self) -> EventFilter:
        return EventFilter(type=self.type, memory_id=self.memory_id)


class EventParams(FollowParams):
    """Which events, from where on, and how many."""

    limit: int = Field(default=50, ge=1, le=500)
    newest: bool = Field(default=False, description="The last ones instead of the first ones; without `after`")
    before: str | None = Field(default=None, description="With `newest`, a position: the last ones before it")

    @model_validator(mode="after")
    def _from_one_end(self) -> Self:
        if self.newest and self.after is not None:
            raise ValueError("say either `after` or `newest`")
        if self.before is not None and not self.newest:
            raise ValueError("say `newest`, too, with `before`")
        return self


@routes.get("", dependencies=[requires(Scope.READ)], response_model_exclude_none=True)
async def events(params: Annotated[EventParams, Query()], rest: RestDep) -> EventPage:
    """A page of the user's events in the order of the log, content included. It is a read, and audited as an export."""
    caller = rest.caller(params.user_id)
    if params.newest:
        return await rest.service.newest_events(caller, params.wanted, before=params.before, limit=params.limit)
    return await rest.service.events(caller, params.wanted, after=params.after, limit=params.limit)


@routes.get(
    "/stream",
    dependencies=[requires(Scope.READ)],
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Server-sent events, for ever"}},
)
async def stream(
    params: Annotated[FollowParams, Query()],
    rest: RestDep,
    request: Request,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """The user's events as they come, each as a server-sent event whose `id` is its position. A client that connects
    again with `Last-Event-ID`, as browsers do by themselves, misses nothing. The first one, `position`, says from where
    on they come: if that is before what was asked for, an older state of the log was restored in between."""
    streams: OpenStreams = request.app.state.event_streams
    options: SseOptions = streams.options
    streams.require_room()
    caller = rest.caller(params.user_id)
    start, follow = await rest.service.follow(
        caller, params.wanted, after=last_event_id or params.after, idle=options.keep_alive
    )
    return EventStreamResponse(caller, start, follow, streams)
