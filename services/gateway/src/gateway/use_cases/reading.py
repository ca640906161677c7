"""Reads: one decision about access, the answer audited before it leaves (architecture §5)."""

import math

from contracts import ids, subjects
from contracts.access import access_of
from contracts.api import (
    FoundMemory,
    History,
    MemoryDetail,
    MemoryList,
    Operation,
    Page,
    SearchRequest,
    SearchResults,
)
from contracts.categories import category_keys
from contracts.codec import timestamp
from contracts.commands import ForMemories
from contracts.errors import NotFound
from contracts.importing import ImportMemories
from contracts.streams import READ_MODELS, SERVING_PROJECTIONS
from nats.aio.client import Client
from runtime.event_store import EventStore
from runtime.postgres import Pool, postgres_errors

from gateway.service import OWNER_APP, Caller, ListQuery
from gateway.use_cases import sql
from gateway.use_cases.access import asking
from gateway.use_cases.audit_trail import AuditTrail
from gateway.use_cases.categories import keys_of
from gateway.use_cases.commanding import Commanding, Principal
from gateway.use_cases.freshness import Freshness
from gateway.use_cases.identity import Identities
from gateway.use_cases.listing import listing
from gateway.use_cases.operations import Operations, ask_progress
from gateway.use_cases.paging import fetch_page
from gateway.use_cases.quarantined import CODE as QUARANTINED
from gateway.use_cases.quarantined import Quarantined
from gateway.use_cases.quarantined import reason as why
from gateway.use_cases.searching import ask_indexer
from gateway.use_cases.time_travel import TimeTravel, at
from gateway.use_cases.touched import logged_outcome, touched
from gateway.use_cases.views import (
    cursor_behind,
    detail_view,
    found_view,
    history_entry,
    memory_view,
    read_cursor,
)

_SPARE = 5
"""Hits asked for beyond the limit: some may have changed state since the index was written."""


class Reading:
    """The reading half of `gateway.service.MemoryService`."""

    def __init__(
        self,
        client: Client,
        pool: Pool,
        identities: Identities,
        commanding: Commanding,
        operations: Operations,
        quarantined: Quarantined,
        log: EventStore,
        trail: AuditTrail,
        freshness: Freshness,
        time_travel: TimeTravel,
    ) -> None:
        self._client = client
        self._pool = pool
        self._identities = identities
        self._commanding = commanding
        self._operations = operations
        self._quarantined = quarantined
        self._log = log
        self._trail = trail
        self._freshness = freshness
        self._time_travel = time_travel

    async def _reader(self, caller: Caller, projections: tuple[str, ...] = (READ_MODELS,)) -> Principal:
        principal = await self._identities.resolve(caller)
        self._freshness.require(principal.uid, projections)
        if caller.app != OWNER_APP:
            await self._quarantined.require_access_known(principal.uid, principal.app_id)
        return principal

    async def _owner(self, caller: Caller) -> Principal:
        principal = await self._identities.owner(caller)
        self._freshness.require(principal.uid, (READ_MODELS,))
        return principal

    # -- reads of an app ----------------------------------------------------------------------------------------

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
        principal = await self._reader(caller, SERVING_PROJECTIONS)
        then = await self._time_travel.sequence(principal.uid, as_of)
        access = access_of(await asking(self._pool, principal.uid, principal.app_id))
        found: list[FoundMemory] = []
        if access is not None:
            request = SearchRequest(
                uid=principal.uid,
                query=query,
                limit=limit + _SPARE,
                app_ids=None if apps is None else [ids.app_id(principal.key.identity, name) for name in apps],
                categories=None if categories is None else list(categories),
                access=access,
            )
            if then is not None:
                request = await self._time_travel.in_the_past(request, principal.app_id, caller.app, then)
            hits = [h for h in await ask_indexer(self._client, request) if min_score is None or h.score >= min_score]
            with postgres_errors():
                rows = await self._pool.fetch(
                    at(sql.FOUND, then, caller.app), principal.uid, principal.app_id, [hit.memory_id for hit in hits]
                )
            texts = {row["memory_id"]: row for row in rows}
            found = [found_view(texts[h.memory_id], h.score) for h in hits if h.memory_id in texts][:limit]
        await self._trail.record(principal, "search", [(f.id, f.score) for f in found], query)
        return SearchResults(results=found)

    async def list_for_app(
        self, caller: Caller, *, limit: int = 100, cursor: str | None = None, as_of: str | None = None
    ) -> MemoryList:
        principal = await self._reader(caller)
        then = await self._time_travel.sequence(principal.uid, as_of)
        before, before_id = (None, None) if cursor is None else read_cursor(cursor)
        with postgres_errors():
            rows = await self._pool.fetch(
                at(sql.LIST_FOR_APP, then, caller.app), principal.uid, principal.app_id, limit + 1, before, before_id
            )
        shown = rows[:limit]
        await self._trail.record(principal, "list", [(row["memory_id"], None) for row in shown])
        return MemoryList(
            results=[found_view(row) for row in shown],
            next_cursor=cursor_behind(shown[-1]) if len(rows) > limit else None,
        )

    async def get_for_app(self, caller: Caller, memory_id: str) -> FoundMemory:
        principal = await self._reader(caller)
        with postgres_errors():
            row = await self._pool.fetchrow(sql.FOUND, principal.uid, principal.app_id, [memory_id])
        if row is None:
            raise NotFound(f"memory {memory_id} was not found")
        await self._trail.record(principal, "get", [(memory_id, None)])
        return found_view(row)

    async def history(self, caller: Caller, memory_id: str) -> History:
        principal = await self._reader(caller)
        with postgres_errors():
            rows = await self._pool.fetch(
                sql.HISTORY, principal.uid, principal.app_id, memory_id, caller.app == OWNER_APP
            )
        if not rows:
            raise NotFound(f"memory {memory_id} was not found")
        await self._trail.record(principal, "history", [(memory_id, None)])
        return History(memory_id=memory_id, entries=[history_entry(row) for row in rows])

    # -- reads of the owner -------------------------------------------------------------------------------------

    async def page(self, caller: Caller, query: ListQuery) -> Page:
        principal = await self._owner(caller)
        then = await self._time_travel.sequence(principal.uid, query.as_of)
        categories = None if query.categories is None else category_keys(query.categories)
        if query.category_ids is not None:
            categories = (*(categories or ()), *await keys_of(self._pool, principal, query.category_ids, then))
        asked = listing(principal.uid, query, categories)
        total, rows = await fetch_page(
            self._pool, at(asked.count, then), at(asked.rows, then), asked.values, page=query.page, size=query.size
        )
        await self._trail.record(principal, "list", [(row["memory_id"], None) for row in rows])
        return Page(
            items=[memory_view(row) for row in rows],
            total=total,
            page=query.page,
            size=query.size,
            pages=math.ceil(total / query.size),
        )

    async def get(self, caller: Caller, memory_id: str, *, as_of: str | None = None) -> MemoryDetail:
        principal = await self._owner(caller)
        then = await self._time_travel.sequence(principal.uid, as_of)
        with postgres_errors():
            row = await self._pool.fetchrow(at(sql.ONE, then), principal.uid, memory_id)
        if row is None:
            raise NotFound(f"memory {memory_id} was not found")
        await self._trail.record(principal, "get", [(memory_id, None)])
        return detail_view(row)

    async def operation(self, caller: Caller, operation_id: str) -> Operation:
        principal = await self._identities.resolve(caller)
        self._freshness.require(principal.uid, (READ_MODELS,))
        owner = caller.app == OWNER_APP
        row = await self._operations.find(principal.uid, operation_id)
        if row is None:
            return await self._not_settled(principal, operation_id, owner)
        if not owner and row["app_id"] != principal.app_id:
            raise NotFound(f"operation {operation_id} was not found")
        items = await self._operations.items(principal.uid, row, texts=owner)
        shown = [(item.id, None) for item in items if item.memory is not None]
        if shown:
            await self._trail.record(principal, "get", shown)
        code, reason = row["code"], row["reason"]
        given_up = await self._quarantined.by([subjects.memory(principal.uid, item.id) for item in items])
        if given_up and code is None:
            code, reason = QUARANTINED, why(given_up)
        return Operation(
            operation_id=operation_id,
            status=row["status"],
            type=row["type"],
            accepted_at=timestamp(row["occurred_at"]),
            settled_at=timestamp(row["settled_at"]),
            results=items,
            counts=row["counts"],
            position=row["position"],
            code=code,
            reason=reason,
        )

    async def _not_settled(self, principal: Principal, operation_id: str, owner: bool) -> Operation:
        """An operation that the read models do not know to have ended."""
        accepted = await self._commanding.was_accepted(principal, operation_id)
        if not owner and accepted.meta.app != principal.app_id:
            raise NotFound(f"operation {operation_id} was not found")
        command, key = accepted.payload, principal.key
        known = Operation(
            operation_id=operation_id,
            status="accepted",
            type=command.type,
            accepted_at=timestamp(accepted.meta.occurred_at),
        )
        outcome = await logged_outcome(self._log, principal.uid, key, operation_id, command)
        if outcome is None:
            large = isinstance(command, ForMemories | ImportMemories)
            progress = await ask_progress(self._client, operation_id) if large else None
            return known.model_copy(update={"progress": progress})
        given_up = await self._quarantined.by(touched(principal.uid, key, command, outcome.results))
        said = outcome.model_dump(include={"status", "counts", "position"})
        code, reason = (QUARANTINED, why(given_up)) if given_up else (outcome.code, outcome.reason)
        return known.model_copy(update={**said, "results": outcome.results, "code": code, "reason": reason})
