"""Archive policies: which there are, changing them, what they would put away now. memory-writer carries them out."""

from contracts import ids
from contracts.archiving import ArchiveAfter, ArchivePolicy, ArchivePolicyList, ArchivePreview
from contracts.categories import category_key
from contracts.commands import RemoveArchivePolicy, SetArchivePolicy
from contracts.errors import NotFound, Unavailable
from contracts.streams import READ_MODELS
from runtime.clock import utc_now
from runtime.postgres import Pool, Row, postgres_errors

from gateway.asking import Caller
from gateway.use_cases import sql
from gateway.use_cases.commanding import Commanding, Principal, Sent
from gateway.use_cases.freshness import Freshness
from gateway.use_cases.identity import Identities
from gateway.use_cases.views import epoch

_DUE = """
    SELECT count(*) FROM memlog.memories AS m
    WHERE m.uid = $1 AND m.state = 'active' AND m.updated_at <= $2::timestamptz - make_interval(days => $3)
      AND ($4::text IS NULL OR m.app_id = $4) AND ($5::text IS NULL OR m.category_keys @> ARRAY[$5])
"""
_POLICIES = """
    SELECT p.policy_id, p.after_days, p.app_id, a.name AS app_name, p.category, p.category_key, p.set_at, p.updated_at
    FROM memlog.archive_policies AS p LEFT JOIN memlog.apps AS a ON a.uid = p.uid AND a.app_id = p.app_id
    WHERE p.uid = $1 AND ($2::text IS NULL OR p.policy_id = $2) ORDER BY p.set_at, p.policy_id
"""


class ArchivePolicies:
    """The part of `gateway.service.MemoryService` that is about archive policies."""

    def __init__(self, identities: Identities, commanding: Commanding, pool: Pool, freshness: Freshness) -> None:
        self._identities = identities
        self._commanding = commanding
        self._pool = pool
        self._freshness = freshness

    async def archive_policies(self, caller: Caller) -> ArchivePolicyList:
        principal = await self._reader(caller)
        found = [await self._view(principal, row) for row in await self._rows(principal)]
        return ArchivePolicyList(archive_policies=found, total=len(found))

    async def preview_archive_policy(self, caller: Caller, after: ArchiveAfter) -> ArchivePreview:
        principal = await self._reader(caller)
        await self._require_app(principal, after)
        category = None if after.category is None else category_key(after.category)
        return ArchivePreview(due=await self._due(principal, after.after_days, after.app_id, category))

    async def set_archive_policy(self, caller: Caller, after: ArchiveAfter, policy_id: str | None) -> ArchivePolicy:
        principal = await self._reader(caller)
        if policy_id is not None:
            await self._one(principal, policy_id)
        await self._require_app(principal, after)
        command = SetArchivePolicy(
            policy_id=policy_id or ids.uuid7(),
            after_days=after.after_days,
            app_id=after.app_id,
            category=None if after.category is None else ids.normalize_text(after.category),
        )
        _require_in_force(await self._commanding.send(principal, command, projections=(READ_MODELS,)))
        return await self._view(principal, await self._one(principal, command.policy_id))

    async def remove_archive_policy(self, caller: Caller, policy_id: str) -> None:
        principal = await self._reader(caller)
        command = RemoveArchivePolicy(policy_id=policy_id)
        _require_in_force(await self._commanding.send(principal, command, projections=(READ_MODELS,)))

    async def _reader(self, caller: Caller) -> Principal:
        principal = await self._identities.owner(caller)
        self._freshness.require(principal.uid, (READ_MODELS,))
        return principal

    async def _rows(self, principal: Principal, policy_id: str | None = None) -> list[Row]:
        with postgres_errors():
            return [*await self._pool.fetch(_POLICIES, principal.uid, policy_id)]

    async def _one(self, principal: Principal, policy_id: str) -> Row:
        found = await self._rows(principal, policy_id)
        if not found:
            raise NotFound(f"archive policy {policy_id} was not found")
        return found[0]

    async def _require_app(self, principal: Principal, after: ArchiveAfter) -> None:
        if after.app_id is None:
            return
        with postgres_errors():
            known = await self._pool.fetchrow(sql.PRINCIPAL, principal.uid, after.app_id)
        if known is None:
            raise NotFound(f"app {after.app_id} was not found")

    async def _view(self, principal: Principal, row: Row) -> ArchivePolicy:
        return ArchivePolicy(
            id=row["policy_id"],
            after_days=row["after_days"],
            app_id=row["app_id"],
            app_name=row["app_name"],
            category=row["category"],
            created_at=epoch(row["set_at"]),
            updated_at=epoch(row["updated_at"]),
            due=await self._due(principal, row["after_days"], row["app_id"], row["category_key"]),
        )

    async def _due(self, principal: Principal, after_days: int, app_id: str | None, category: str | None) -> int:
        with postgres_errors():
            return await self._pool.fetchval(_DUE, principal.uid, utc_now(), after_days, app_id, category)


def _require_in_force(sent: Sent) -> None:
    if sent.state != "searchable":
        raise Unavailable(
            f"the change is accepted (operation {sent.command_id}) but not in force yet: "
            f"{sent.reason or 'ask for the policies again before relying on it'}"
        )
