"""What the gateway can do, whatever the transport: MCP tools and REST routes call this and nothing else.

`use_cases/` implements it; the transports know only this protocol, so that an access rule or an audit step can
not differ between them.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

from contracts.api import (
    App,
    AppPage,
    DeadLetterDetail,
    DeadLetterPage,
    Deleted,
    EventPage,
    Health,
    History,
    LogEvent,
    Memory,
    MemoryDetail,
    MemoryList,
    Operation,
    OperationResult,
    Page,
    Redriven,
    RedriveReport,
    SearchResults,
    Stats,
    Wait,
)
from pydantic import JsonValue

OWNER_APP = "dashboard"
"""The app under which a person reads their own memories (REST, dashboard): it sees every state, and its reads
count for no other app."""


class Scope(StrEnum):
    """What a route or tool needs. Checked when authentication comes; declared from the first day."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the transport knows it: names, not ids. `actor` is the transport (`mcp`, `rest`, `cli`)."""

    user: str
    app: str
    actor: str


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Filters of a REST list. Epoch seconds, inclusive. `categories`: any of. `search`: substring, any case.
    `states` None: every state but `deleted`."""

    app_id: str | None = None
    from_date: int | None = None
    to_date: int | None = None
    categories: tuple[str, ...] | None = None
    search: str | None = None
    states: tuple[str, ...] | None = None
    sort_column: Literal["memory", "app_name", "created_at"] = "created_at"
    sort_direction: Literal["asc", "desc"] = "desc"
    page: int = 1
    size: int = 50


@dataclass(frozen=True, slots=True)
class AppQuery:
    """Filters of the list of apps. `name`: substring, any case."""

    name: str | None = None
    is_active: bool | None = None
    sort_by: Literal["name", "memories", "memories_accessed"] = "name"
    sort_direction: Literal["asc", "desc"] = "asc"
    page: int = 1
    page_size: int = 10


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events of the log: of this type, about this memory. None: all."""

    type: str | None = None
    memory_id: str | None = None


class MemoryService(Protocol):
    """All methods raise `contracts.errors.MemlogError` and nothing else on purpose. Users and apps come into
    being at their first use. Memory ids are canonical UUID strings (callers pass them through `parse_uuid`)."""

    # -- writes -------------------------------------------------------------------------------------------------
    async def add(
        self,
        caller: Caller,
        text: str,
        *,
        metadata: dict[str, JsonValue] | None = None,
        categories: tuple[str, ...] = (),
        idempotency_key: str | None = None,
        wait: Wait = "searchable",
    ) -> OperationResult: ...

    async def added(
        self, caller: Caller, memory_id: str, text: str, metadata: dict[str, JsonValue], categories: tuple[str, ...]
    ) -> Memory:
        """The memory that an add led to, with the content that the caller sent: no read, so not audited as one."""
        ...

    async def revise(
        self,
        caller: Caller,
        memory_id: str,
        text: str,
        *,
        idempotency_key: str | None = None,
        wait: Wait = "searchable",
    ) -> OperationResult: ...

    async def delete(
        self,
        caller: Caller,
        memory_ids: tuple[str, ...],
        *,
        all_or_nothing: bool = False,
        idempotency_key: str | None = None,
        wait: Wait = "searchable",
    ) -> Deleted:
        """With `all_or_nothing`, unknown ids raise `NotFound` naming them and nothing is deleted."""
        ...

    async def delete_all(self, caller: Caller, *, wait: Wait = "searchable") -> Deleted:
        """Every active memory that the caller's app can see."""
        ...

    async def set_app_active(self, caller: Caller, app_id: str, active: bool) -> App:
        """Returns once the read models show it, so that a later read of any client obeys it."""
        ...

    # -- reads of an app: active memories that it may see; audited before they are returned -------------------------
    async def search(
        self,
        caller: Caller,
        query: str,
        *,
        limit: int = 10,
        categories: tuple[str, ...] | None = None,
        apps: tuple[str, ...] | None = None,
        min_score: float | None = None,
    ) -> SearchResults:
        """`apps` are names. A paused app finds nothing."""
        ...

    async def list_for_app(self, caller: Caller, *, limit: int = 100, cursor: str | None = None) -> MemoryList:
        """Newest first."""
        ...

    async def history(self, caller: Caller, memory_id: str) -> History:
        """An app sees that of active memories; the owner (app `dashboard`) that of any."""
        ...

    # -- reads of the owner: any state; audited under the app `dashboard` --------------------------------------------
    async def page(self, caller: Caller, query: ListQuery) -> Page: ...

    async def get(self, caller: Caller, memory_id: str) -> MemoryDetail: ...

    async def apps(self, caller: Caller, query: AppQuery) -> AppPage: ...

    async def stats(self, caller: Caller) -> Stats: ...

    async def operation(self, caller: Caller, operation_id: str) -> Operation: ...

    async def events(self, caller: Caller, wanted: EventFilter, *, after: str | None, limit: int) -> EventPage:
        """The user's part of the log, from the position `after` on, oldest first."""
        ...

    async def follow(
        self, caller: Caller, wanted: EventFilter, *, after: str | None, idle: float
    ) -> tuple[str, AsyncGenerator[LogEvent | None]]:
        """The position to begin at (that of now, without `after`), and the events behind it as they come, for ever;
        None whenever none came for `idle` seconds. The caller closes the generator; it raises `Unavailable` when it
        cannot go on, and can then be followed again from the last event."""
        ...

    # -- what was given up on: of all users; content for its owner only ------------------------------------------------
    async def dead_letters(self, *, after: int, limit: int) -> DeadLetterPage: ...

    async def dead_letter(self, caller: Caller, letter_id: int) -> DeadLetterDetail: ...

    async def redrive(self, letter_id: int) -> Redriven:
        """Try again what the letter is about. Raises `RedriveFailed` when it fails again."""
        ...

    async def redrive_all(self) -> RedriveReport: ...

    async def drop_dead_letter(self, letter_id: int) -> Redriven:
        """Go on without the message, for good. Raises `RedriveFailed` when the rest cannot be applied either."""
        ...

    # -- health ------------------------------------------------------------------------------------------------
    async def health(self) -> Health:
        """Asks every part, bounded; never raises for a part that is down: says so instead."""
        ...
