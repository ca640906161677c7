"""The tools (surface §1.1): their names, words, schemas, scopes, and the service call that each is."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from contracts.api import Deleted, History, MemoryList, OperationResult, SearchResults, View
from mcp_types import Tool, ToolAnnotations

from gateway.mcp import arguments as args
from gateway.service import Caller, MemoryService, OnProgress, Scope

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """Who calls a tool, of which service, and where to tell how far it is."""

    service: MemoryService
    caller: Caller
    on_progress: OnProgress | None = None


Call = Callable[[Asked, Json], Awaitable[View]]
"""Checks the arguments and calls the service. Raises pydantic's `ValidationError` and `MemlogError`."""

_A = TypeVar("_A", bound=args.Arguments)
_R = TypeVar("_R", bound=View)

_READS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
_ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False)
_REPLACES = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool. `listed` is what clients see of it, made once."""

    name: str
    scope: Scope
    call: Call
    listed: Tool


def _tool(
    name: str,
    scope: Scope,
    hints: ToolAnnotations,
    arguments: type[_A],
    result: type[_R],
    call: Callable[[Asked, _A], Awaitable[_R]],
    title: str,
    description: str,
) -> ToolSpec:
    async def checked(asked: Asked, given: Json) -> View:
        return await call(asked, arguments.model_validate(given))

    listed = Tool(
        name=name,
        title=title,
        description=description,
        input_schema=_plain(arguments.model_json_schema()),
        output_schema=_plain(result.model_json_schema(mode="serialization")),
        annotations=hints.model_copy(update={"title": title}),
    )
    return ToolSpec(name, scope, checked, listed)


def _plain(schema: Json) -> Json:
    """The schema without pydantic's titles, which repeat the names and cost a model tokens."""

    def walk(node: Any, names: bool) -> Any:
        if isinstance(node, dict):
            items = cast("Json", node).items()
            return {key: walk(value, key in ("properties", "$defs")) for key, value in items if names or key != "title"}
        return [walk(item, False) for item in cast("list[Any]", node)] if isinstance(node, list) else node

    return walk(schema, False)


async def _add(asked: Asked, given: args.AddMemories) -> OperationResult:
    return await asked.service.add(
        asked.caller,
        given.text,
        metadata=given.metadata,
        categories=tuple(given.categories),
        infer=given.infer,
        idempotency_key=given.idempotency_key,
        wait=given.wait,
        on_progress=asked.on_progress,
    )


async def _search(asked: Asked, given: args.SearchMemory) -> SearchResults:
    return await asked.service.search(
        asked.caller,
        given.query,
        limit=given.limit,
        categories=None if given.categories is None else tuple(given.categories),
        apps=None if given.apps is None else tuple(given.apps),
        min_score=given.min_score,
        as_of=given.as_of,
    )


async def _list(asked: Asked, given: args.ListMemories) -> MemoryList:
    return await asked.service.list_for_app(asked.caller, limit=given.limit, cursor=given.cursor, as_of=given.as_of)


async def _update(asked: Asked, given: args.UpdateMemory) -> OperationResult:
    return await asked.service.revise(
        asked.caller, given.memory_id, given.text, idempotency_key=given.idempotency_key, wait=given.wait
    )


async def _delete(asked: Asked, given: args.DeleteMemories) -> Deleted:
    ids = tuple(dict.fromkeys(given.memory_ids))
    return await asked.service.delete(asked.caller, ids, idempotency_key=given.idempotency_key, wait=given.wait)


async def _delete_all(asked: Asked, given: args.DeleteAllMemories) -> Deleted:
    return await asked.service.delete_all(asked.caller, wait=given.wait, on_progress=asked.on_progress)


async def _history(asked: Asked, given: args.GetMemoryHistory) -> History:
    return await asked.service.history(asked.caller, given.memory_id)


def tools() -> tuple[ToolSpec, ...]:
    """All tools, in the order in which clients see them: it never changes, so that prompts stay cached."""
    return (
        _tool(
            "add_memories", Scope.WRITE, _ADDS, args.AddMemories, OperationResult, _add, "Add memories",
            "Remember something about the user or their work for later conversations: facts, preferences, decisions,"
            " plans. Call it whenever the user tells you something worth keeping, or asks you to remember it. What is"
            " already remembered word for word is not stored twice (event NONE). Do not store again what you just found"
            " by searching.",
        ),
        _tool(
            "search_memory", Scope.READ, _READS, args.SearchMemory, SearchResults, _search, "Search memory",
            "Find what is remembered about a subject, by meaning and by words, best match first. Call it before you"
            " answer whenever what you know about the user, their preferences or their past work could matter.",
        ),
        _tool(
            "list_memories", Scope.READ, _READS, args.ListMemories, MemoryList, _list, "List memories",
            "List everything remembered, newest first, a page at a time. To find something, search instead: it is"
            " faster and shorter.",
        ),
        _tool(
            "update_memory", Scope.WRITE, _REPLACES, args.UpdateMemory, OperationResult, _update, "Update a memory",
            "Replace the text of a memory that is no longer right. Search for its id first. Earlier texts stay in its"
            " history.",
        ),
        _tool(
            "delete_memories", Scope.DELETE, _REPLACES, args.DeleteMemories, Deleted, _delete, "Delete memories",
            "Delete the memories with these ids, when the user asks to forget something. Search for the ids first. The"
            " answer says how many were deleted and which ids were not accessible.",
        ),
        _tool(
            "delete_all_memories", Scope.DELETE, _REPLACES, args.DeleteAllMemories, Deleted, _delete_all,
            "Delete all memories",
            "Delete every memory that you can see. Only when the user asks for exactly that, and has confirmed it.",
        ),
        _tool(
            "get_memory_history", Scope.READ, _READS, args.GetMemoryHistory, History, _history,
            "Get a memory's history",
            "Every version and state of a memory: what changed, when, by whom, and through which app.",
        ),
    )  # fmt: skip
