"""Writes: each is one command. What the writer decided is what the caller is told."""

from collections.abc import Callable

from contracts.access import Readable, may_read
from contracts.api import AddedMemory, Deleted, Item, OperationResult
from contracts.categories import category_keys
from contracts.commands import (
    AddMemory,
    AnyCommand,
    DeleteMemories,
    ReviseMemory,
)
from contracts.errors import AppIsPaused, NotFound
from contracts.promises import Wait
from contracts.streams import READ_MODELS
from pydantic import JsonValue
from runtime.postgres import Pool, Row, postgres_errors

from gateway.service import OWNER_APP, Caller, OnProgress
from gateway.use_cases import sql
from gateway.use_cases.access import asking, withheld
from gateway.use_cases.audit_trail import AuditTrail
from gateway.use_cases.commanding import Commanding, Principal, Sent
from gateway.use_cases.freshness import Freshness
from gateway.use_cases.identity import Identities
from gateway.use_cases.many import require_few, send_for_many
from gateway.use_cases.quarantined import Quarantined
from gateway.use_cases.views import memory_view, operation_result


class Writing:
    """The writing half of `gateway.service.MemoryService`."""

    def __init__(
        self,
        identities: Identities,
        commanding: Commanding,
        pool: Pool,
        trail: AuditTrail,
        freshness: Freshness,
        quarantined: Quarantined,
        infers: Callable[[], bool],
    ) -> None:
        self._identities = identities
        self._commanding = commanding
        self._pool = pool
        self._trail = trail
        self._freshness = freshness
        self._quarantined = quarantined
        self._infers = infers

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
        infer = infer and self._infers()
        command = AddMemory(text=text, metadata=metadata or {}, categories=categories, infer=infer)
        return await self._operation(caller, command, idempotency_key, wait, on_progress)

    async def added(
        self, caller: Caller, added: Item, text: str, metadata: dict[str, JsonValue], categories: tuple[str, ...]
    ) -> AddedMemory:
        principal = await self._identities.resolve(caller)
        with postgres_errors():
            row = await self._pool.fetchrow(sql.ONE, principal.uid, added.id)
        if row is None:
            raise NotFound(f"memory {added.id} was not found")
        memory = dict(memory_view(row))
        if added.event == "NONE":
            await self._require_access_known(principal)
            app = await asking(self._pool, principal.uid, principal.app_id)
            if not may_read(app, _readable(row)):
                raise NotFound(f"memory {added.id} was not found")
            await self._trail.record(principal, "get", [(added.id, None)])
            return AddedMemory(**memory, event="NONE")
        said = {"content": text, "metadata_": metadata, "categories": [*categories]}
        return AddedMemory(**memory, event="ADD").model_copy(update=said)

    async def revise(
        self,
        caller: Caller,
        memory_id: str,
        text: str,
        *,
        idempotency_key: str | None = None,
        wait: Wait = "searchable",
    ) -> OperationResult:
        if await self._withheld(await self._identities.resolve(caller), (memory_id,)):
            raise NotFound(f"memory {memory_id} was not found")
        command = ReviseMemory(memory_id=memory_id, text=text, only_active=caller.app != OWNER_APP)
        return await self._operation(caller, command, idempotency_key, wait)

    async def _operation(
        self,
        caller: Caller,
        command: AnyCommand,
        idempotency_key: str | None,
        wait: Wait,
        on_progress: OnProgress | None = None,
    ) -> OperationResult:
        principal = await self._identities.resolve(caller)
        sent = await self._commanding.send(
            principal, command, idempotency_key=idempotency_key, wait=wait, on_progress=on_progress
        )
        before = [(item.id, None) for item in sent.items if item.previous_memory is not None]
        if before:  # the answer tells what memories said before: that is a read
            await self._trail.record(principal, "get", before)
        return operation_result(sent)

    async def delete(
        self,
        caller: Caller,
        memory_ids: tuple[str, ...],
        *,
        all_or_nothing: bool = False,
        idempotency_key: str | None = None,
        wait: Wait = "searchable",
    ) -> Deleted:
        if all_or_nothing:
            require_few(memory_ids)
        principal = await self._identities.resolve(caller)
        hidden = await self._withheld(principal, memory_ids)
        missing = [memory_id for memory_id in memory_ids if memory_id in hidden]
        if missing and all_or_nothing:
            raise NotFound(f"not found: {', '.join(missing)}")
        if missing and len(missing) == len(memory_ids):
            return Deleted(deleted=0, not_accessible=missing)
        command = DeleteMemories(
            memory_ids=tuple(memory_id for memory_id in memory_ids if memory_id not in hidden),
            all_or_nothing=all_or_nothing,
            only_active=caller.app != OWNER_APP,
        )
        done = _deleted(await self._commanding.send(principal, command, idempotency_key=idempotency_key, wait=wait))
        return done.model_copy(update={"not_accessible": [*missing, *done.not_accessible]})

    async def _withheld(self, principal: Principal, memory_ids: tuple[str, ...]) -> set[str]:
        """Those that the app could not read. The owner's writes need no read models."""
        if principal.app_name == OWNER_APP:
            return set()
        await self._require_access_known(principal)
        return await withheld(self._pool, principal, memory_ids)

    async def _require_access_known(self, principal: Principal) -> None:
        self._freshness.require(principal.uid, (READ_MODELS,))
        if principal.app_name != OWNER_APP:
            await self._quarantined.require_access_known(principal.uid, principal.app_id)

    async def delete_all(
        self, caller: Caller, *, wait: Wait = "searchable", on_progress: OnProgress | None = None
    ) -> Deleted:
        principal = await self._identities.resolve(caller)
        await self._require_access_known(principal)
        with postgres_errors():
            me = await self._pool.fetchrow(sql.PRINCIPAL, principal.uid, principal.app_id)
            rows = await self._pool.fetch(sql.ACTIVE_IDS, principal.uid, principal.app_id)
        if me is None or not me["is_active"]:
            raise AppIsPaused(f"app '{principal.app_name}' is paused: resume it in Memlog before it can write")
        if not rows:
            return Deleted(deleted=0)
        ids = [row["memory_id"] for row in rows]

        def delete(part: tuple[str, ...]) -> DeleteMemories:
            return DeleteMemories(memory_ids=part, only_active=True)

        return _deleted(await send_for_many(self._commanding, principal, delete, ids, wait, on_progress))


def _readable(row: Row) -> Readable:
    return Readable(row["memory_id"], row["app_id"], row["state"], category_keys(row["categories"]))


def _deleted(sent: Sent) -> Deleted:
    gone = sent.counts.get("DELETE", 0)
    missing = [item.id for item in sent.items if item.event == "NONE"]
    return Deleted(
        deleted=gone, not_accessible=missing, operation_id=sent.command_id, state=sent.state, reason=sent.reason
    )
