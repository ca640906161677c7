"""What the gateway can do, whatever the transport: MCP tools and REST routes call this and nothing else.

`use_cases/` implements it; the transports know only this protocol, so that an access rule or an audit step can
not differ between them.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

from contracts.api import (
    App,
    AppPage,
    Deleted,
    Health,
    History,
    Memory,
    MemoryDetail,
    MemoryList,
    Operation,
    OperationResult,
    Page,
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

    # -- health ------------------------------------------------------------------------------------------------
    async def health(self) -> Health:
        """Asks every part, bounded; never raises for a part that is down: says so instead."""
        ...
