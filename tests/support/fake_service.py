"""A `MemoryService` in memory, to test transports with: small, honest about users and apps, and it counts its calls."""

import asyncio
import hashlib
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from contracts.activity import Activity, Step
from contracts.api import (
    AddedMemory,
    App,
    AppPage,
    Category,
    CategoryList,
    Deleted,
    FoundMemory,
    Health,
    History,
    HistoryEntry,
    Item,
    Memory,
    MemoryDetail,
    MemoryList,
    Operation,
    OperationResult,
    Page,
    Progress,
    SearchResults,
    ServiceHealth,
    State,
    StateChanged,
    Stats,
)
from contracts.changes import ChangePage, Timeline
from contracts.connections import ConnectionList
from contracts.errors import AppIsPaused, NotFound
from contracts.promises import Wait
from gateway.service import AppQuery, Caller, ChangeQuery, ListQuery, OnProgress, Selection, These
from pydantic import JsonValue
from support.fake_operator import FakeOperator

AT = "2026-11-01T00:00:00.000Z"


@dataclass
class Stored:
    user: str
    app: str
    texts: list[str]
    categories: tuple[str, ...] = ()
    metadata: dict[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    deleted: bool = False
    state: State = "active"
    created_at: int = field(default_factory=lambda: int(time.time()))


@dataclass
class FakeService(FakeOperator):
    """`calls` are (method, caller) of everything that reached it, `moments` the `as_of` of reads, `positions` what they
    had to have reached (True: the index, too). `fail` raises for every call, `hold` makes every call wait for it,
    `unfinished` leaves writes accepted, `progress` is told of each write that may take long."""

    memories: dict[str, Stored] = field(default_factory=dict[str, Stored])
    paused: set[str] = field(default_factory=set[str])
    calls: list[tuple[str, Caller]] = field(default_factory=list[tuple[str, Caller]])
    queries: list[ListQuery | Selection] = field(default_factory=list[ListQuery | Selection])
    own_categories: dict[str, Category] = field(default_factory=dict[str, Category])
    keys: list[str | None] = field(default_factory=list[str | None])
    moments: list[str | None] = field(default_factory=list[str | None])
    positions: list[tuple[str, bool]] = field(default_factory=list[tuple[str, bool]])
    fail: Exception | None = None
    hold: asyncio.Event | None = None
    unfinished: bool = False
    progress: list[Progress | None] = field(default_factory=list[Progress | None])
    down: dict[str, str] = field(default_factory=dict[str, str])
    on_call: Callable[[], None] = lambda: None

    def reset(self) -> None:
        """As new."""
        self.__init__()

    async def _called(self, method: str, caller: Caller) -> None:
        self.calls.append((method, caller))
        self.on_call()
        if self.hold is not None:
            await self.hold.wait()
        if self.fail is not None:
            raise self.fail
        if caller.app in self.paused:
            raise AppIsPaused(f"the app '{caller.app}' is paused")

    async def _tell(self, on_progress: OnProgress | None) -> None:
        if on_progress is not None:
            for progress in self.progress:
                await on_progress(progress)

    def _result(self, *items: Item) -> OperationResult:
        operation_id = str(uuid.uuid4())
        if self.unfinished:
            return OperationResult(operation_id=operation_id, state="accepted")
        return OperationResult(results=list(items), operation_id=operation_id, position="0:1", state="searchable")

    def _of(self, caller: Caller) -> list[tuple[str, Stored]]:
        mine = [(key, row) for key, row in self.memories.items() if row.user == caller.user and not row.deleted]
        return mine[::-1]

    def _memory(self, key: str, row: Stored) -> Memory:
        return Memory(
            id=key, content=row.texts[-1], created_at=row.created_at, state=row.state, app_id=_app_id(row.app),
            app_name=row.app, categories=list(row.categories), metadata_=row.metadata,
        )  # fmt: skip

    def _one(self, caller: Caller, memory_id: str) -> Stored:
        row = self.memories.get(memory_id)
        if row is None or row.user != caller.user or row.deleted:
            raise NotFound(f"there is no memory {memory_id}")
        return row

    async def add(
        self,
        caller: Caller,
        text: str,
        *,
        metadata: dict[str, JsonValue] | None = None,
        categories: tuple[str, ...] = (),
        infer: bool = False,
        idempotency_key: str | None = None,
        wait: Wait = "searchable",
        on_progress: OnProgress | None = None,
    ) -> OperationResult:
        await self._called("add", caller)
        await self._tell(on_progress)
        self.keys.append(idempotency_key)
        same = [key for key, row in self._of(caller) if row.texts[-1] == text]
        if same:
            return self._result(Item(id=same[0], memory=text, event="NONE"))
        memory_id = str(uuid.uuid4())
        self.memories[memory_id] = Stored(caller.user, caller.app, [text], categories, metadata or {})
        return self._result(Item(id=memory_id, memory=text, event="ADD"))

    async def added(
        self, caller: Caller, added: Item, text: str, metadata: dict[str, JsonValue], categories: tuple[str, ...]
    ) -> AddedMemory:
        await self._called("added", caller)
        memory = self._memory(added.id, self._one(caller, added.id))
        return AddedMemory(**dict(memory), event="NONE" if added.event == "NONE" else "ADD")

    async def revise(
        self,
        caller: Caller,
        memory_id: str,
        text: str,
        *,
        idempotency_key: str | None = None,
        wait: Wait = "searchable",
    ) -> OperationResult:
        await self._called("revise", caller)
        row = self._one(caller, memory_id)
        row.texts.append(text)
        return self._result(Item(id=memory_id, memory=text, event="UPDATE", previous_memory=row.texts[-2]))

    async def delete(
        self,
        caller: Caller,
        memory_ids: tuple[str, ...],
        *,
        all_or_nothing: bool = False,
        idempotency_key: str | None = None,
        wait: Wait = "searchable",
    ) -> Deleted:
        await self._called("delete", caller)
        mine = {key for key, _ in self._of(caller)}
        unknown = [key for key in memory_ids if key not in mine]
        if unknown and all_or_nothing:
            raise NotFound(f"there is no memory {', '.join(unknown)}")
        known = [key for key in memory_ids if key in mine]
        for key in known:
            self.memories[key].deleted = True
        return Deleted(deleted=len(known), not_accessible=unknown)

    async def delete_all(
        self, caller: Caller, *, wait: Wait = "searchable", on_progress: OnProgress | None = None
    ) -> Deleted:
        await self._called("delete_all", caller)
        await self._tell(on_progress)
        rows = self._of(caller)
        for _, row in rows:
            row.deleted = True
        return Deleted(deleted=len(rows))

    async def set_app_active(self, caller: Caller, app_id: str, active: bool) -> App:
        await self._called("set_app_active", caller)
        for name in {row.app for _, row in self._of(caller)}:
            if _app_id(name) == app_id:
                (self.paused.discard if active else self.paused.add)(name)
                return self._app(caller, name)
        raise NotFound(f"there is no app {app_id}")

    async def set_state(
        self, caller: Caller, selection: Selection, state: Literal["active", "paused", "archived"]
    ) -> StateChanged:
        await self._called("set_state", caller)
        self.queries.append(selection)
        rows = [row for _, row in self._of(caller)]
        if isinstance(selection, These):
            rows = [self._one(caller, memory_id) for memory_id in selection.memory_ids]
        return self._change(rows, state)

    async def restore(self, caller: Caller, memory_ids: tuple[str, ...]) -> StateChanged:
        await self._called("restore", caller)
        rows = [self.memories[memory_id] for memory_id in memory_ids if memory_id in self.memories]
        for row in rows:
            row.deleted = False
        return self._change(rows, "active")

    def _change(self, rows: Sequence[Stored], state: State) -> StateChanged:
        if self.unfinished:
            return StateChanged(changed=0, operation_id=str(uuid.uuid4()), state="stored")
        for row in rows:
            row.state = state
        return StateChanged(changed=len(rows), operation_id=str(uuid.uuid4()))

    async def categorize(self, caller: Caller, memory_id: str, categories: tuple[str, ...]) -> OperationResult:
        await self._called("categorize", caller)
        self._one(caller, memory_id).categories = categories
        return self._result(Item(id=memory_id, event="STATE"))

    async def define_category(self, caller: Caller, name: str, description: str) -> Category:
        await self._called("define_category", caller)
        made = Category(
            id=_app_id(name), name=name, description=description, created_at=1, updated_at=1, own=True, memories=0
        )
        self.own_categories[made.id] = made
        return made

    async def remove_category(self, caller: Caller, category_id: str) -> Category:
        await self._called("remove_category", caller)
        if category_id not in self.own_categories:
            raise NotFound(f"there is no category {category_id}")
        return self.own_categories.pop(category_id)

    async def categories(self, caller: Caller) -> CategoryList:
        await self._called("categories", caller)
        found = list(self.own_categories.values())
        return CategoryList(categories=found, total=len(found))

    async def search(
        self,
        caller: Caller,
        query: str,
        *,
        limit: int = 10,
        categories: tuple[str, ...] | None = None,
        apps: tuple[str, ...] | None = None,
        min_score: float | None = None,
        as_of: str | None = None,
    ) -> SearchResults:
        await self._called("search", caller)
        self.moments.append(as_of)
        words = query.lower().split()
        hits = [(key, row) for key, row in self._of(caller) if any(word in row.texts[-1].lower() for word in words)]
        return SearchResults(results=[_found(key, row, 1.0) for key, row in hits[:limit]])

    async def list_for_app(
        self, caller: Caller, *, limit: int = 100, cursor: str | None = None, as_of: str | None = None
    ) -> MemoryList:
        await self._called("list_for_app", caller)
        self.moments.append(as_of)
        start = int(cursor or 0)
        rows = self._of(caller)
        more = str(start + limit) if len(rows) > start + limit else None
        return MemoryList(results=[_found(key, row) for key, row in rows[start : start + limit]], next_cursor=more)

    async def get_for_app(self, caller: Caller, memory_id: str) -> FoundMemory:
        await self._called("get_for_app", caller)
        return _found(memory_id, self._one(caller, memory_id))

    async def history(self, caller: Caller, memory_id: str) -> History:
        await self._called("history", caller)
        row = self._one(caller, memory_id)
        entries = [
            HistoryEntry(
                event="MemoryAdded" if version == 1 else "MemoryRevised", version=version, state="active", text=text,
                at=AT, recorded_at=AT, app_name=row.app, actor="mcp", position=f"0:{version}",
            )
            for version, text in enumerate(row.texts, 1)
        ]  # fmt: skip
        return History(memory_id=memory_id, entries=entries)

    async def page(self, caller: Caller, query: ListQuery) -> Page:
        await self._called("page", caller)
        self.queries.append(query)
        self.moments.append(query.as_of)
        rows = [(key, row) for key, row in self._of(caller) if (query.search or "").lower() in row.texts[-1].lower()]
        start = (query.page - 1) * query.size
        items = [self._memory(key, row) for key, row in rows[start : start + query.size]]
        return Page(items=items, total=len(rows), page=query.page, size=query.size, pages=-(-len(rows) // query.size))

    async def get(self, caller: Caller, memory_id: str, *, as_of: str | None = None) -> MemoryDetail:
        await self._called("get", caller)
        self.moments.append(as_of)
        row = self._one(caller, memory_id)
        return MemoryDetail(
            id=memory_id, text=row.texts[-1], created_at=row.created_at, updated_at=row.created_at, state=row.state,
            app_id=_app_id(row.app), app_name=row.app, categories=list(row.categories), metadata_=row.metadata,
            version=len(row.texts),
        )  # fmt: skip

    async def apps(self, caller: Caller, query: AppQuery) -> AppPage:
        await self._called("apps", caller)
        found = self._apps(caller)
        return AppPage(total=len(found), page=query.page, page_size=query.page_size, apps=list(found))

    async def differences(self, caller: Caller, query: ChangeQuery) -> ChangePage:
        await self._called("differences", caller)
        self.moments += [query.since, query.until]
        return ChangePage(items=[], counts={}, total=0, page=query.page, size=query.size, pages=0)

    async def timeline(self, caller: Caller, parts: int) -> Timeline:
        await self._called("timeline", caller)
        return Timeline(first=AT, now=AT, changes=[0] * parts)

    async def reached(self, position: str, *, index: bool = False) -> None:
        self.positions.append((position, index))

    async def stats(self, caller: Caller) -> Stats:
        await self._called("stats", caller)
        found = self._apps(caller)
        return Stats(total_memories=len(self._of(caller)), total_apps=len(found), apps=list(found))

    async def activity(self, caller: Caller, step: Step, steps: int) -> Activity:
        await self._called("activity", caller)
        return Activity(step=step, starts=[*range(steps)], apps=[])

    async def connections(self, caller: Caller) -> ConnectionList:
        await self._called("connections", caller)
        return ConnectionList(connections=[], gateways=1)

    async def operation(self, caller: Caller, operation_id: str) -> Operation:
        await self._called("operation", caller)
        return Operation(operation_id=operation_id, status="done", type="AddMemory", accepted_at=AT)

    async def health(self) -> Health:
        parts = [ServiceHealth(service=name, ok=False, detail=detail) for name, detail in self.down.items()]
        return Health(
            status="degraded" if parts else "ok", version="0", embedder="fake", llm=None, index="fake", positions={},
            services=[ServiceHealth(service="gateway", ok=True), *parts],
        )  # fmt: skip

    def _apps(self, caller: Caller) -> Sequence[App]:
        return [self._app(caller, name) for name in sorted({row.app for _, row in self._of(caller)})]

    def _app(self, caller: Caller, name: str) -> App:
        created = sum(row.app == name for _, row in self._of(caller))
        return App(
            id=_app_id(name), name=name, is_active=name not in self.paused, total_memories_created=created,
            total_memories_accessed=0,
        )  # fmt: skip


def _app_id(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def _found(key: str, row: Stored, score: float | None = None) -> FoundMemory:
    return FoundMemory(
        id=key, memory=row.texts[-1], score=score, categories=list(row.categories), source_app=row.app,
        created_at=row.created_at, updated_at=row.created_at, hash=hashlib.sha256(row.texts[-1].encode()).hexdigest(),
    )  # fmt: skip
